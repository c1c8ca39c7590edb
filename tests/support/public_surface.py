"""The public surface: what is documented, as lines of text that change when callers must.

What the pages under ``docs/reference`` name is public, and of a class those members that they list,
or that the guides tell authors to define.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from optkit_core.deprecation import FORMER_NAMES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DIRECTIVE = re.compile(
    r"^\.\. (currentmodule|auto(?:class|exception|function|module)):: (\S+)(\n   :members:.*)?$",
    re.MULTILINE,
)
MODULES = ("optkit_core", "optkit_core.testing", "optkit_plugins.lbfgs", "optkit")
"""What has an ``__all__``, whose names are public too, as what they are documented as."""

DEFINED_BY_AUTHORS = {
    "optkit_core.Optimizer": (
        *("libraries", "offers", "options_by_position", "paper", "parameter_complaint"),
        *("requires_closure", "reuses_memory", "schema_version", "state_complaint", "tolerances"),
        *("unsupported_reason", "values_complaint"),
    ),
    "optkit_core.Layerwise": ("counts_steps", "unsupported_reason", "update_sparse"),
    "optkit_core.Matrixwise": ("needs_whole_matrices", "parameter_dims"),
}
"""What the guides tell authors to define in a class of their own, beside what is documented."""

SIMPLE = (bool, int, float, str, bytes, type(None))


def surface() -> dict[str, str]:
    """Return what is public: by its name, how it is called.

    Signatures have the names, kinds and plain defaults of parameters. Annotations are for type
    checkers, and look different in each version of Python.
    """
    found: dict[str, str] = {}
    names: dict[int, str] = {}
    for full, thing, members in _documented():
        names.setdefault(id(thing), full)
        found.update(_entries(full, thing, members))
    for full, thing in _exported():
        known = names.setdefault(id(thing), full)
        found[full] = _text(thing) if known == full else f" = {known}"
    for name, former in FORMER_NAMES.items():
        found[f"deprecated {name}"] = f": {former.present}, until {former.gone}"
    return dict(sorted(found.items()))


def _documented() -> Iterator[tuple[str, Any, Iterable[str]]]:
    """Yield what the pages document: its name, the thing, and which members."""
    for page in sorted(REFERENCE.glob("*.md")):
        module = ""
        for kind, target, listed in DIRECTIVE.findall(page.read_text()):
            if kind == "currentmodule":
                module = target
                continue
            full = target if target.startswith("optkit") else f"{module}.{target}"
            thing = _found(full)
            members = re.findall(r"\w+", listed.partition(":members:")[2])
            yield _shown(full), thing, (members or _own_members(thing)) if listed else ()


def _exported() -> Iterator[tuple[str, Any]]:
    for module in map(importlib.import_module, MODULES):
        yield from ((f"{module.__name__}.{name}", getattr(module, name)) for name in module.__all__)


def _shown(full: str) -> str:
    """Return a name as it is recorded: bare where its module isn't public, and may change."""
    module, _, name = full.rpartition(".")
    return full if module in MODULES else name


def _found(full: str) -> Any:
    owner, _, name = full.rpartition(".")
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError:
        return getattr(_found(owner), name)


def _own_members(thing: Any) -> list[str]:
    """Return the public members of a class or module that are defined in it."""
    public = [name for name in vars(thing) if not name.startswith("_")]
    if isinstance(thing, ModuleType):
        return [n for n in public if getattr(vars(thing)[n], "__module__", "") == thing.__name__]
    return public


def _entries(full: str, thing: Any, members: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield a name with its text, and its members with theirs."""
    yield full, _text(thing)
    for name in sorted({*members, *DEFINED_BY_AUTHORS.get(full, ())}):
        # `None` where only instances have it: an attribute that `__init__` sets.
        yield f"{full}.{name}", _text(inspect.getattr_static(thing, name, None))


def _text(thing: Any) -> str:
    """Return the signature of what is called, and nothing for anything else."""
    function = inspect.unwrap(getattr(thing, "__func__", thing))
    if inspect.isfunction(function):
        return _signature(function)
    if isinstance(thing, type) and _has_own_constructor(thing):
        return _signature(thing)
    return ""


def _has_own_constructor(cls: type) -> bool:
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    is_protocol = getattr(cls, "_is_protocol", False)
    return owner.__module__.startswith("optkit") and not is_protocol


def _signature(thing: Callable[..., Any]) -> str:
    parts: list[str] = []
    parameters = inspect.signature(thing).parameters.values()
    for parameter in parameters:
        is_first = not any(part.startswith("*") for part in parts)
        if parameter.kind is parameter.KEYWORD_ONLY and is_first:
            parts.append("*")
        parts.append(_parameter(parameter))
    return f"({', '.join(parts)})"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    name = stars.get(parameter.kind, "") + parameter.name
    if parameter.default is parameter.empty:
        return name
    return f"{name}={_default(parameter.default)}"


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        inner = ", ".join(map(_default, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value) if isinstance(value, SIMPLE) else "..."
