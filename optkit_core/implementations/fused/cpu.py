"""``fused`` on CPU: the update body compiled to one loop over all elements of a bucket."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

from optkit_core.buckets import Bucket, Kind
from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cpp, parts
from optkit_core.implementations.fused.cpp import TYPES
from optkit_core.implementations.fused.kernel import Kernel, kernel
from optkit_core.implementations.fused.parts import Launch, holds
from optkit_core.implementations.fused.table import Table
from optkit_core.implementations.fused.trace import trace

__all__ = ["holds", "prepare", "refuse", "source"]


def prepare(algorithm: Any, bucket: Bucket, h: Any) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Raises:
        UnavailableError: there is no kernel for what the body does with these hyperparameters.
    """
    return parts.prepare(bucket, tuple(algorithm.buffers), partial(_launch, algorithm, h))


def refuse(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return why no kernel can step a kind of bucket, or an empty string; compiles one."""
    try:
        dtypes = parts.expected_dtypes(algorithm, kind, TYPES)
        kernel(trace(algorithm, h, 1.0)[0], dtypes, algorithm.__name__)
    except UnavailableError as error:
        return str(error)
    return ""


def source(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return the C++ source of the loop over a row, without what surrounds it."""
    return cpp.loop(trace(algorithm, h, 1.0)[0], parts.expected_dtypes(algorithm, kind, TYPES))


def _launch(algorithm: Any, h: Any, table: Table) -> Launch:
    """Return the launch of one table; rows whose bodies differ get tables of their own."""
    counts = table.next_counts()
    distinct = list(dict.fromkeys(counts))
    bucket = table.bucket
    traces = [trace(algorithm, h, t, bucket.maximize, bucket.inverse_scale) for t in distinct]
    if any(program != traces[0][0] for program, _ in traces):
        return parts.one_after_another(_by_count(algorithm, h, table, counts))
    found = kernel(traces[0][0], table.dtypes, algorithm.__name__)
    place = {t: position for position, t in enumerate(distinct)}
    single = len(distinct) == 1
    sets = array("i", bytes(4 * table.rows) if single else [place[t] for t in counts])
    numbers = array("d", [float(number) for _, numbers in traces for number in numbers])
    return partial(_run, found, table, sets, numbers)


def _run(found: Kernel, table: Table, sets: array[int], numbers: array[float]) -> None:
    table.advance()
    found(table, sets, numbers)


def _by_count(algorithm: Any, h: Any, table: Table, counts: Sequence[float]) -> list[Launch]:
    launches = []
    for count in dict.fromkeys(counts):
        rows = [row for row, other in enumerate(counts) if other == count]
        part = Table(table.bucket.subset(rows), tuple(algorithm.buffers), None)
        launches.append(_launch(algorithm, h, part))
    return launches
