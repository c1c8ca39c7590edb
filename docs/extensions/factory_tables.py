"""The directive ``factories``: tables of all schedules or averagings, and of their arguments."""

from __future__ import annotations

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import optkit
from optkit_core.factories.factory_description import ArgumentInfo, FactoryDescription
from optkit_core.schedules.warmup import WARMUP


class FactoryTables(SphinxDirective):
    """Lists everything of the kind that is its argument, then the arguments of each."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the tables."""
        kind = self.arguments[0]
        known = [
            optkit.describe(name, kind=kind) for name in optkit.available("optkit:*", kind=kind)
        ]
        lines = [*overview(known), *(line for item in known for line in arguments(item))]
        parent = nodes.container()
        self.state.nested_parse(StringList(lines, source=__file__), 0, parent)
        made: list[nodes.Node] = parent.children
        return made


def overview(known: list[FactoryDescription]) -> list[str]:
    """Return the lines of the table of all, in Markdown."""
    rows = [f"| `{item.name}` | {item.summary} | {made_by(item)} |" for item in known]
    return ["| name | what it does | made of |", "|---|---|---|", *rows, ""]


def made_by(item: FactoryDescription) -> str:
    """Return a link to torch's page of a class, or where optkit composes it."""
    place, _, name = item.location.partition(":")
    return f"[{name}]({item.page})" if item.page else f"`{place}.{name}`"


def arguments(item: FactoryDescription) -> list[str]:
    """Return the lines of the table of one's own arguments, in Markdown."""
    own = [argument for argument in item.arguments if argument.name not in WARMUP]
    return [
        f"**{item.name}**",
        "",
        "| argument | default | allowed | what it is |",
        "|---|---|---|---|",
        *map(_row, own),
        "",
    ]


def _row(argument: ArgumentInfo) -> str:
    default = "*needed*" if argument.is_required else f"`{argument.default!r}`"
    allowed = argument.range.replace("|", "\\|")
    return f"| `{argument.name}` | {default} | {allowed} | {argument.doc} |"


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("factories", FactoryTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
