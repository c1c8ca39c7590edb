"""``optkit list``: a row for each algorithm, one that can't be imported included."""

from __future__ import annotations

from collections.abc import Sequence

from optkit.cli.listing import Listed, origins, provider_of
from optkit.cli.tables import console, pairs, plain_table
from optkit_core.plugins.description import Description

COLUMNS = (
    "Name",
    "CPU",
    "CUDA",
    "for-\nloop",
    "fore-\neach",
    "fused",
    "sparse",
    "com-\nplex",
    "captur-\nable",
    "differ-\nentiable",
)

LEGEND = (
    ("CPU, CUDA", "what 'auto' takes there, where it is installed"),
    ("for-loop to fused", "yes, or the devices on which there is one"),
    ("sparse", "takes sparse gradients; only: no others"),
    ("complex", "takes complex parameters"),
    ("capturable", "CUDA graphs can capture its step, with capturable=True"),
    ("differentiable", "autograd can record its step, with differentiable=True"),
)


def print_table(algorithms: Sequence[Listed[Description]]) -> None:
    """Print what each algorithm can do, and below it what the columns mean.

    Args:
        algorithms: as `listed` returns them.
    """
    table = plain_table(padding=0)  # so that long names fit into 80 columns
    for title in COLUMNS:
        table.add_column(title, overflow="fold")
    table.columns[0].style = "bold"
    described = [item.description for item in algorithms if item.description is not None]
    for description in described:
        table.add_row(*_row(description))
    out = console()
    if described:
        out.print(table)
        out.print()
    out.print(pairs(_notes(algorithms, described)))


def print_summaries(algorithms: Sequence[Listed[Description]]) -> None:
    """Print what each algorithm does in a line, and where it comes from.

    Args:
        algorithms: as `listed` returns them.
    """
    table = plain_table()
    table.add_column("Name", no_wrap=True, style="bold")
    table.add_column("Summary", overflow="fold")
    table.add_column("From", overflow="fold")
    for item in algorithms:
        known = item.description
        table.add_row(
            item.name,
            known.summary if known else f"not available: {item.error}",
            provider_of(known) if known else "",
        )
    console().print(table)


def _row(description: Description) -> tuple[str, ...]:
    able = description.capabilities
    return (
        description.name,
        able.default["cpu"],
        able.default["cuda"],
        *map(able.devices_of, ("forloop", "foreach", "fused")),
        able.sparse_cell,
        str(able.complex),
        str(able.capturable),
        str(able.differentiable),
    )


def _notes(
    algorithms: Sequence[Listed[Description]], described: Sequence[Description]
) -> list[tuple[str, str]]:
    return [
        *((item.name, f"not available: {item.error}") for item in algorithms if item.error),
        *((known.name, _dims(known)) for known in described if _dims(known)),
        *(LEGEND if described else ()),
        *origins(described),
    ]


def _dims(description: Description) -> str:
    dims = description.capabilities.parameter_dims
    return "" if dims is None else f"takes parameters of {' or '.join(map(str, dims))} dimensions"
