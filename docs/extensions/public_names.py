"""Public names: objects are shown and linked under the names by which users import them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.addnodes import desc_addname, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

MODULES = ("optkit", "optkit_core", "optkit_plugins.lbfgs")
"""The modules whose ``__all__`` is the public interface; the first that has a name shows it."""


def public_names() -> Iterator[tuple[str, Any]]:
    """Yield every public name with its module, and what it names."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            yield f"{module.__name__}.{name}", getattr(module, name)


def public_name(thing: Any) -> str:
    """Return the first public name of a class or function; its own where it has none."""
    for name, public in public_names():
        if public is thing:
            return name
    return f"{thing.__module__}.{thing.__qualname__}"


def show_public_bases(
    app: Sphinx, name: str, thing: Any, options: Any, bases: list[type | str]
) -> None:
    """Show the base classes of a class by their public names."""
    bases[:] = [
        f":py:class:`{public_name(base)}`" if base.__module__.startswith("optkit") else base
        for base in bases
        if isinstance(base, type)
    ]


def leave_out_modules(app: Sphinx, document: nodes.document) -> None:
    """Show a name that isn't imported from a public module without the module that has it."""
    for prefix in list(document.findall(desc_addname)):
        module = prefix.astext().rstrip(".")
        if module.startswith("optkit") and module not in (*MODULES, "optkit_core.testing"):
            prefix.parent.remove(prefix)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Link a name that docstrings use bare, or by another module, to where it is documented."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not ("." not in target or target.startswith("optkit")):
        return None
    documented = env.domains.python_domain.objects
    for module in MODULES:
        found = documented.get(f"{module}.{target.rpartition('.')[2]}")
        if found is not None:
            docname = node["refdoc"]
            return make_refnode(app.builder, docname, found.docname, found.node_id, content)
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("doctree-read", leave_out_modules)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
