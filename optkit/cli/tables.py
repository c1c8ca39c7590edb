"""What ``show`` prints: tables that fit 80 columns and stay plain in a pipe."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from optkit_core.factories.factory_description import FactoryDescription
from optkit_core.plugins.description import Description


def console(stderr: bool = False) -> Console:
    """Return a console that prints text as it is: a range like ``[0, 1)`` is no markup."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def print_description(description: Description) -> None:
    """Print the facts of one algorithm.

    Args:
        description: what `optkit.describe` returned.
    """
    out = console()
    out.print(description.name, style="bold")
    out.print(indented(_facts(description)))
    _print_section("Hyperparameters", _hyperparameters(description))
    _print_section("Buffers", _buffers(description))
    _print_section("Where to search", _searches(description))
    _print_section("Meaning", _meanings(description))


def print_any(description: Description | FactoryDescription) -> None:
    """Print the facts of an algorithm, or of a schedule or an averaging.

    Args:
        description: what `optkit.describe` returned.
    """
    if isinstance(description, FactoryDescription):
        print_factory(description)
    else:
        print_description(description)


def print_factory(description: FactoryDescription) -> None:
    """Print the facts of one schedule or averaging.

    Args:
        description: what `optkit.describe` returned.
    """
    out = console()
    out.print(f"{description.name} ({description.kind})", style="bold")
    facts = (
        ("Summary", description.summary),
        ("Documentation", description.page),
        ("From", f"{description.distribution} {description.version}".strip()),
        ("Import path", description.location),
    )
    out.print(indented(pairs((title, value or "not stated") for title, value in facts)))
    _print_section("Arguments", _arguments(description))
    meanings = ((item.name, item.doc) for item in description.arguments)
    _print_section("Meaning", pairs((name, doc) for name, doc in meanings if doc))


def plain_table(padding: int = 1) -> Table:
    """Return an empty table with a line below its header and no frame.

    Args:
        padding: how many spaces a cell has at its left and right, beside the one between cells.
    """
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, padding))


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of titles and texts, without a header; the texts wrap."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def indented(table: Table) -> Padding:
    """Return a table two columns further right."""
    return Padding(table, (0, 0, 0, 2))


def _print_section(title: str, table: Table) -> None:
    out = console()
    if table.row_count:
        out.print(f"\n{title}", style="bold")
        out.print(indented(table))


def _facts(description: Description) -> Table:
    facts = (
        ("Summary", description.summary),
        ("Paper", description.paper),
        ("Implementations", ", ".join(description.implementations)),
        ("From", f"{description.distribution} {description.version}".strip()),
        ("Import path", description.location),
    )
    return pairs((title, value or "not stated") for title, value in facts)


def _arguments(description: FactoryDescription) -> Table:
    table = plain_table()
    for title in ("Name", "Allowed", "Default"):
        table.add_column(title, overflow="fold")
    for item in description.arguments:
        table.add_row(item.name, item.range, "needed" if item.is_required else repr(item.default))
    if description.takes_others:
        table.add_row("others", "not declared", "")
    return table


def _hyperparameters(description: Description) -> Table:
    table = plain_table()
    for title in ("Name", "Type", "Range", "Default"):
        table.add_column(title, overflow="fold")
    for item in description.hyperparameters:
        table.add_row(item.name, item.type, item.range, repr(item.default))
    return table


def _buffers(description: Description) -> Table:
    table = plain_table()
    for title in ("Name", "Exists", "Kind", "Dtype", "Starts as"):
        table.add_column(title, overflow="fold")
    for item in description.buffers:
        table.add_row(item.name, item.when, item.kind, item.dtype, item.init)
    return table


def _searches(description: Description) -> Table:
    searched = [item for item in description.hyperparameters if item.search]
    return pairs((item.name, str(item.search)) for item in searched)


def _meanings(description: Description) -> Table:
    meanings = [(item.name, item.doc) for item in description.hyperparameters]
    meanings += [(item.name, item.doc) for item in description.buffers]
    return pairs((name, doc) for name, doc in meanings if doc)
