"""Code in plain Markdown: a documented name in backticks, `optkit.create` say, becomes a link.

So pages read the same in a repository's browser. Examples lose the empty line that doctest needs
at their end.
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


class TrimmedExamples(SphinxTransform):
    """Take empty lines off the end of blocks of code."""

    default_priority = 880

    def apply(self, **arguments: Any) -> None:
        """Replace the text of the blocks."""
        for block in self.document.findall(nodes.literal_block):
            text = block.astext().rstrip()
            if block.rawsource.rstrip() == text:
                block.rawsource = text
                block[:] = [nodes.Text(text)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_transform(CodeLinks)
    app.add_transform(TrimmedExamples)
    return {"parallel_read_safe": True}
