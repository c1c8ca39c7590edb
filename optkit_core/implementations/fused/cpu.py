"""``fused`` on CPU: the update body compiled to one loop over all elements of a bucket."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cpp_source, parts
from optkit_core.implementations.fused.cpp_kernel import KernelJob, load_kernel
from optkit_core.implementations.fused.cpp_source import TYPES
from optkit_core.implementations.fused.parts import Launch, Part
from optkit_core.implementations.fused.table import Table
from optkit_core.step.buckets import Bucket, Kind
from optkit_core.tracing.trace import trace

__all__ = ["prepare", "refuse", "source"]


def prepare(algorithm: Any, bucket: Bucket, h: Any) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Raises:
        UnavailableError: there is no kernel for what the body does with these hyperparameters.
    """
    return parts.prepare(algorithm, bucket, partial(_launch, algorithm))


def refuse(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return why no kernel can step a kind of bucket, or an empty string; compiles one."""
    try:
        dtypes = parts.expected_dtypes(algorithm, kind, TYPES)
        load_kernel(trace(algorithm, h, 1.0)[0], dtypes, algorithm.__name__)
    except UnavailableError as error:
        return str(error)
    return ""


def source(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return the C++ source of the loop over a row, without what surrounds it."""
    return cpp_source.loop(
        trace(algorithm, h, 1.0)[0], parts.expected_dtypes(algorithm, kind, TYPES)
    )


def _launch(algorithm: Any, part: Part) -> Launch:
    """Return what steps the rows of one part, with their numbers computed."""
    table, numbers = part.table, part.numbers
    if numbers is None:
        return _traced(algorithm, table)
    scale = table.bucket.inverse_scale
    numbers.compute(None if scale is None else float(scale))
    if part.run is None:
        found = load_kernel(numbers.body.program, table.dtypes, algorithm.__name__)
        part.run = partial(_run, table, found.job(table, numbers.sets, numbers.numbers))
    return part.run


def _traced(algorithm: Any, table: Table) -> Launch:
    """Return what steps a table's rows by running the body for each of their groups and counts.

    Rows whose bodies differ get tables of their own.
    """
    bucket = table.bucket
    counts = table.next_counts()
    ways = list(
        zip(bucket.groups, counts if len(counts) > 1 else [*counts] * table.rows, strict=True)
    )
    distinct = list(dict.fromkeys(ways))
    traces = [
        trace(algorithm, bucket.hyperparameters[index], t, bucket.maximize, bucket.inverse_scale)
        for index, t in distinct
    ]
    if any(program != traces[0][0] for program, _ in traces):
        return parts.one_after_another(_by_way(algorithm, table, ways))
    found = load_kernel(traces[0][0], table.dtypes, algorithm.__name__)
    place = {way: position for position, way in enumerate(distinct)}
    sets = array("i", [place[way] for way in ways])
    numbers = array("d", [float(number) for _, numbers in traces for number in numbers])
    return partial(_run, table, found.job(table, sets, numbers))


def _run(table: Table, job: KernelJob) -> None:
    table.advance()
    job.run()


def _by_way(algorithm: Any, table: Table, ways: Sequence[tuple[int, float]]) -> list[Launch]:
    launches = []
    table.bucket.refresh()
    for way in dict.fromkeys(ways):
        rows = [row for row, other in enumerate(ways) if other == way]
        part = Table(table.bucket.subset(rows), tuple(algorithm.buffers), None)
        launches.append(_traced(algorithm, part))
    return launches
