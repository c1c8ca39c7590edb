"""``fused`` on CPU: the update body compiled to one loop over all elements of a bucket."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from optkit_core.buckets import Bucket, Kind
from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused.cpp import TYPES
from optkit_core.implementations.fused.kernel import Kernel, kernel
from optkit_core.implementations.fused.layout import Copies, sorted_rows
from optkit_core.implementations.fused.native import reader
from optkit_core.implementations.fused.table import Table
from optkit_core.implementations.fused.trace import trace

Launch = Callable[[], None]


class Parts:
    """A bucket's rows as kernels take them: tables, and rows that are copied at each step."""

    def __init__(self, bucket: Bucket, names: Sequence[str]) -> None:
        """Sort the rows by how their tensors lie."""
        alike, odd = sorted_rows(bucket, names)
        self.tables = [Table(bucket.subset(rows), names, reader()) for rows in alike]
        self.odd = bucket.subset(odd) if odd else None

    def holds(self) -> bool:
        """Return whether the tables are as they were, with all addresses read anew."""
        return (self.odd is None or self.odd.refresh()) and all(t.refresh() for t in self.tables)


def prepare(algorithm: Any, bucket: Bucket, h: Any) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Raises:
        UnavailableError: there is no kernel for what the body does with these hyperparameters.
    """
    names = tuple(algorithm.buffers)
    if bucket.kept is None:
        bucket.kept = Parts(bucket, names)
    parts: Parts = bucket.kept
    launches = [_launch(algorithm, table, h) for table in parts.tables]
    if parts.odd is not None:
        launches += _copied(algorithm, parts.odd, names, h)
    return launches[0] if len(launches) == 1 else partial(_run_all, launches)


def holds(bucket: Bucket) -> bool:
    """Return whether a bucket that was stepped before can be stepped again as it is."""
    return bucket.kept is not None and bool(bucket.kept.holds())


def refuse(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return why no kernel can step a kind of bucket, or an empty string; compiles one."""
    own = kind.dtype.to_real()
    dtypes = (own, own, *(buffer.dtype or own for buffer in algorithm.buffers.values()))
    unknown = [dtype for dtype in dtypes if dtype not in TYPES]
    if unknown:
        return f"no kernel reads {str(unknown[0]).removeprefix('torch.')}"
    try:
        kernel(trace(algorithm, h, 1.0)[0], dtypes)
    except UnavailableError as error:
        return str(error)
    return ""


def _launch(algorithm: Any, table: Table, h: Any) -> Launch:
    """Return the launch of one table; rows whose bodies differ get tables of their own."""
    counts = table.next_counts()
    distinct = list(dict.fromkeys(counts))
    bucket = table.bucket
    traces = [trace(algorithm, h, t, bucket.maximize, bucket.inverse_scale) for t in distinct]
    if any(program != traces[0][0] for program, _ in traces):
        return partial(_run_all, _by_count(algorithm, table, h, counts))
    found = kernel(traces[0][0], table.dtypes)
    place = {t: position for position, t in enumerate(distinct)}
    single = len(distinct) == 1
    sets = array("i", bytes(4 * table.rows) if single else [place[t] for t in counts])
    numbers = array("d", [float(number) for _, numbers in traces for number in numbers])
    return partial(_run, found, table, sets, numbers)


def _run(found: Kernel, table: Table, sets: array[int], numbers: array[float]) -> None:
    table.advance()
    found(table, sets, numbers)


def _by_count(algorithm: Any, table: Table, h: Any, counts: Sequence[float]) -> list[Launch]:
    launches = []
    for count in dict.fromkeys(counts):
        rows = [row for row, other in enumerate(counts) if other == count]
        part = Table(table.bucket.subset(rows), tuple(algorithm.buffers), None)
        launches.append(_launch(algorithm, part, h))
    return launches


def _copied(algorithm: Any, odd: Bucket, names: Sequence[str], h: Any) -> list[Launch]:
    copies = Copies(odd, names)
    alike, _ = sorted_rows(copies.bucket, names)
    tables = [Table(copies.bucket.subset(rows), names, None) for rows in alike]
    return [*(_launch(algorithm, table, h) for table in tables), copies.copy_back]


def _run_all(launches: Sequence[Launch]) -> None:
    for launch in launches:
        launch()
