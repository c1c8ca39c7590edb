"""How kernels walk the rows of a bucket: which tensors must lie alike, and whether by rows."""

from __future__ import annotations

from collections.abc import Iterable

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused.row_layout import Walk
from optkit_core.implementations.scalar_buffers import cells_of
from optkit_core.selection.offer import UpdateBody
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.buffer_extents import buffer_extent
from optkit_core.tracing.extent import Extent
from optkit_core.tracing.reduction_passes import passes_of
from optkit_core.tracing.trace import trace_bucket


def walk_of(algorithm: type[UpdateBody], bucket: Bucket) -> Walk:
    """Return how kernels walk the rows of a bucket.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
    """
    extents = {name: buffer_extent(algorithm.buffers[name]) for name in bucket.tensors}
    shaped = frozenset(name for name, extent in extents.items() if extent != Extent.ELEMENT)
    by_rows = any(_has_matrices(algorithm, bucket, row) for row in _first_rows(algorithm, bucket))
    return Walk(bucket.tensors, shaped, by_rows)


def _first_rows(algorithm: type[UpdateBody], bucket: Bucket) -> Iterable[int]:
    """Return a row of each group, none where the algorithm looks at one element at a time."""
    if algorithm.is_elementwise:
        return ()
    return {group: row for row, group in enumerate(bucket.groups)}.values()


def _has_matrices(algorithm: type[UpdateBody], bucket: Bucket, row: int) -> bool:
    step, h = bucket.steps[row], bucket.hyperparameters[bucket.groups[row]]
    t = step.item() + 1 if step.is_cpu else None  # a counter of the device isn't waited for
    cells = cells_of(bucket.states[row], bucket.scalars)
    try:
        program, _ = trace_bucket(algorithm, bucket, h, t, cells)
    # Whoever asks for a kernel is told the reason.
    except UnavailableError:
        return False
    return passes_of(program).has_matrices
