"""The suite ``communication``: what a step of a large model is on one of very many ranks.

Nothing is timed: the ranks are simulated, and what is counted is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard

import optkit
from benchmarks.sharded import decoder
from benchmarks.sharded.communication import Communication, of_step, simulated_ranks

COUNTS = (1024, 8192)
NAMES = ("adamw", "lamb", "adafactor", "prodigy")
HEADER = (
    "| algorithm | ranks | elements | state, MiB | buckets | collectives | sent, bytes |",
    "|---|--:|--:|--:|--:|--:|--:|",
)


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each algorithm and number of ranks; `repeats` means nothing here."""
    for count in COUNTS:
        with simulated_ranks(count):
            yield from rows_of({name: {} for name in NAMES}, decoder.shapes(), count)


def rows_of(
    algorithms: Mapping[str, dict[str, Any]], shapes: Sequence[decoder.Shape], count: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a model whose parameters are sharded by rows over all ranks.

    Args:
        algorithms: their options, by their names.
        shapes: of the parameters.
        count: how many ranks there are.
    """
    mesh = init_device_mesh("cpu", (count,))
    for name, options in algorithms.items():
        try:
            yield _row(name, count, of_step(name, shapes, mesh, [Shard(0)], **options))
        except optkit.OptkitError as error:
            print(f"left out: {type(error).__name__}: {str(error)[:160]}")


def _row(name: str, count: int, found: Communication) -> dict[str, Any]:
    figures = {
        "elements": found.elements,
        "state": found.state_bytes,
        "buckets": found.buckets,
        "collectives": len(found.collectives),
        "sent": found.sent,
    }
    printed = "  ".join(f"{what} {figure:,}" for what, figure in figures.items())
    return {
        "what": name,
        "ranks": count,
        **figures,
        "printed": f"{name:<10} {count:>6,} ranks  {printed}",
    }


def markdown(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a table."""
    return [*HEADER, *map(_line, rows)]


def _line(row: dict[str, Any]) -> str:
    state = f"{row['state'] / 2**20:,.1f}"
    figures = [f"{row[name]:,}" for name in ("buckets", "collectives", "sent")]
    cells = [row["what"], f"{row['ranks']:,}", f"{row['elements']:,}", state, *figures]
    return f"| {' | '.join(cells)} |"
