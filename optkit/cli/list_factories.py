"""``optkit list --kind``: a row for each schedule or averaging, broken ones included."""

from __future__ import annotations

from collections.abc import Sequence

from optkit.cli.listing import Listed, origins
from optkit.cli.tables import console, pairs, plain_table
from optkit_core.factories.factory_description import FactoryDescription


def print_table(items: Sequence[Listed[FactoryDescription]]) -> None:
    """Print what each does and which arguments it needs, and below that where they come from.

    Args:
        items: as `listed` returns them.
    """
    table = plain_table(padding=0)  # so that long names fit into 80 columns
    table.add_column("Name", no_wrap=True, style="bold")
    table.add_column("Summary", overflow="fold")
    table.add_column("Needs", overflow="fold")
    for item in items:
        table.add_row(item.name, *_cells(item))
    out = console()
    out.print(table)
    out.print()
    out.print(pairs(origins(item.description for item in items if item.description is not None)))


def _cells(item: Listed[FactoryDescription]) -> tuple[str, str]:
    known = item.description
    if known is None:
        return (f"not available: {item.error}", "")
    needed = ", ".join(argument.name for argument in known.arguments if argument.is_required)
    return (known.summary, needed)
