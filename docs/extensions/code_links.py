"""Code links: a documented name in backticks, such as `optkit.create`, becomes a link to it.

So pages stay plain Markdown, and read the same in a repository's browser.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

NAME = re.compile(r"((?:optkit|optkit_core|optkit_plugins|torch)(?:\.\w+)+)(?:\(.*\))?")


class CodeLinks(SphinxTransform):
    """Turn inline code that is a dotted name into a reference that may stay unresolved."""

    default_priority = 880

    def apply(self, **arguments: Any) -> None:
        """Replace the nodes."""
        for literal in list(self.document.findall(nodes.literal)):
            name = NAME.fullmatch(literal.astext())
            if name and not isinstance(literal.parent, pending_xref | nodes.reference):
                literal.replace_self(self.reference(name[1], literal))

    def reference(self, target: str, literal: nodes.literal) -> pending_xref:
        """Return the reference to a Python object of any type."""
        return pending_xref(
            "",
            literal.deepcopy(),
            refdoc=self.env.docname,
            refdomain="py",
            reftype="obj",
            reftarget=target,
            refexplicit=True,
            refwarn=False,
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_transform(CodeLinks)
    return {"parallel_read_safe": True}
