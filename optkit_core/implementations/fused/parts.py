"""Parts: a bucket's rows as kernels take them, on whichever device they lie."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import Any

import torch

from optkit_core.buckets import Bucket, Kind
from optkit_core.buffer_kinds import PER_ELEMENT
from optkit_core.buffers import STEP
from optkit_core.errors import UnavailableError
from optkit_core.implementations.copies import Copies, packed
from optkit_core.implementations.fused.layout import sorted_rows
from optkit_core.implementations.fused.native import Reader, reader
from optkit_core.implementations.fused.table import Table

Launch = Callable[[], None]


class Parts:
    """Tables of rows that lie alike, and rows that are copied at each step."""

    def __init__(self, bucket: Bucket, names: Sequence[str]) -> None:
        """Sort the rows by how their tensors lie."""
        self.names = (*names, STEP)
        alike, odd = sorted_rows(bucket, names)
        subsets = map(bucket.subset, alike)
        self.tables = [Table(subset, names, _reader_of(subset)) for subset in subsets]
        self.odd = bucket.subset(odd) if odd else None

    def holds(self) -> bool:
        """Return whether the tables are as they were, with all addresses read anew."""
        return self._is_still_odd() and all(table.refresh() for table in self.tables)

    def _is_still_odd(self) -> bool:
        """Return whether the rows that are copied have their buffers, and need to be copied."""
        if self.odd is None:
            return True
        whole = all(name in state for state in self.odd.states for name in self.names)
        return whole and self.odd.refresh() and not sorted_rows(self.odd, self.names[:-1])[0]


def prepare(bucket: Bucket, names: Sequence[str], launch: Callable[[Table], Launch]) -> Launch:
    """Return what steps the bucket; its parts are kept for the steps to come.

    Args:
        bucket: parameters of one kind.
        names: the buffers that a kernel takes.
        launch: returns what steps the rows of one table.
    """
    if bucket.kept is None:
        bucket.kept = Parts(bucket, names)
    parts: Parts = bucket.kept
    launches = [launch(table) for table in parts.tables]
    if parts.odd is not None:
        launches += _copied(parts.odd, names, launch)
    return one_after_another(launches)


def holds(bucket: Bucket) -> bool:
    """Return whether a bucket that was stepped before can be stepped again as it is."""
    return bucket.kept is not None and bool(bucket.kept.holds())


def expected_dtypes(
    algorithm: Any, kind: Kind, known: Container[torch.dtype]
) -> tuple[torch.dtype, ...]:
    """Return the dtypes of parameter, gradient and buffers of a kind of bucket.

    Raises:
        UnavailableError: kernels know one of them not, or a buffer isn't of its parameter's shape.
    """
    for name, buffer in algorithm.buffers.items():
        if buffer.kind != PER_ELEMENT:
            raise UnavailableError(
                f"a kernel walks buffers of the parameter's shape, and {name!r} is {buffer.kind}"
            )
    own = kind.dtype.to_real()
    dtypes = (own, own, *(buffer.dtype or own for buffer in algorithm.buffers.values()))
    require_known(dtypes, known)
    return dtypes


def require_known(dtypes: Iterable[torch.dtype], known: Container[torch.dtype]) -> None:
    """Raise unless kernels know all dtypes.

    Raises:
        UnavailableError: naming the one that they don't.
    """
    for dtype in dtypes:
        if dtype not in known:
            raise UnavailableError(f"no kernel reads {str(dtype).removeprefix('torch.')}")


def _reader_of(bucket: Bucket) -> Reader | None:
    """Return the native reader, where it can read the step counters of a bucket."""
    step = bucket.steps[0]
    return reader() if step.is_cpu and step.dtype in (torch.float32, torch.float64) else None


def one_after_another(launches: Sequence[Launch]) -> Launch:
    """Return what does all of these in order."""
    return launches[0] if len(launches) == 1 else partial(_run_all, launches)


def _copied(odd: Bucket, names: Sequence[str], launch: Callable[[Table], Launch]) -> list[Launch]:
    copies = Copies(odd, names, packed)
    alike, _ = sorted_rows(copies.bucket, names)
    tables = [Table(copies.bucket.subset(rows), names, None) for rows in alike]
    return [*(launch(table) for table in tables), copies.copy_back]


def _run_all(launches: Sequence[Launch]) -> None:
    for launch in launches:
        launch()
