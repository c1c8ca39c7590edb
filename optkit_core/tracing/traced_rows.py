"""Traced rows: update bodies run in a step for each group, count and scalar buffers of a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from optkit_core.implementations import scalar_buffers
from optkit_core.implementations.scalar_buffers import Cells
from optkit_core.selection.offer import UpdateBody
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.program import Program
from optkit_core.tracing.trace import trace_bucket


class RowKey(NamedTuple):
    """What a row's numbers come from; those of rows that share it are the same.

    Args:
        group: the index of its group.
        t: the number of the step, None where the device counts or nobody does.
        held: what its scalar buffers hold.
    """

    group: int
    t: float | None
    held: tuple[float, ...] = ()


class TracedRow(NamedTuple):
    """What a body does with a row.

    Args:
        program: with each element.
        numbers: those that it takes.
        cells: the scalar buffers, with what it assigns to them.
    """

    program: Program
    numbers: list[Any]
    cells: Cells


def row_keys(bucket: Bucket, steps: Iterable[float | None]) -> list[RowKey]:
    """Return the key of each row.

    Args:
        bucket: the parameters, gradients and states.
        steps: for each row the number of the step, None where the device counts or nobody does.
    """
    rows = zip(bucket.groups, steps, bucket.states, strict=True)
    return [RowKey(group, t, scalar_buffers.read(s, bucket.scalars)) for group, t, s in rows]


def traced_rows(
    algorithm: type[UpdateBody], bucket: Bucket, keys: Sequence[RowKey]
) -> dict[RowKey, TracedRow]:
    """Return what the body does with the rows of each key.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        keys: those of its rows.

    Raises:
        UntraceableError: the body does something that no kernel can be written for.
    """
    # Scalar buffers of one name have one dtype where a table has been made of the rows.
    rows = {key: bucket.states[row] for row, key in reversed(list(enumerate(keys)))}
    return {
        key: _traced(algorithm, bucket, key, scalar_buffers.cells_of(rows[key], bucket.scalars))
        for key in dict.fromkeys(keys)
    }


def assignment(
    bucket: Bucket, traces: Mapping[RowKey, TracedRow], keys: Sequence[RowKey]
) -> Callable[[], None]:
    """Return what writes the scalar buffers that the bodies have assigned.

    Args:
        bucket: the parameters, gradients and states.
        traces: what the body does with the rows of each key.
        keys: those of its rows.
    """
    return partial(_assign, bucket.states, [traces[key].cells for key in keys])


def _traced(algorithm: type[UpdateBody], bucket: Bucket, key: RowKey, cells: Cells) -> TracedRow:
    h = bucket.hyperparameters[key.group]
    program, numbers = trace_bucket(algorithm, bucket, h, key.t, cells)
    return TracedRow(program, numbers, cells)


def _assign(states: Sequence[Mapping[str, Any]], cells: Sequence[Cells]) -> None:
    for state, own in zip(states, cells, strict=True):
        scalar_buffers.store([state], own)
