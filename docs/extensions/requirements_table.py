"""The directive ``requirements``: the table of what the conformance kit requires."""

from __future__ import annotations

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from optkit_core.testing.requirements import REQUIREMENTS


class RequirementsTable(SphinxDirective):
    """Lists all requirements by topic, in the order of a check."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        parent = nodes.container()
        self.state.nested_parse(StringList(table(), source=__file__), 0, parent)
        return list(parent.children)


def table() -> list[str]:
    """Return the lines of the table, in Markdown."""
    topics = dict.fromkeys(requirement.topic for requirement in REQUIREMENTS)
    rows = [
        f"| {item.topic} | `{item.id}` | {item.title} | {_yes(item.every_dtype)} "
        f"| {_yes(item.for_any_optimizer)} |"
        for topic in topics
        for item in REQUIREMENTS
        if item.topic == topic
    ]
    head = [
        "| about | id | what holds | in every dtype | of any optimizer |",
        "|---|---|---|---|---|",
    ]
    return [*head, *rows]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("requirements", RequirementsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
