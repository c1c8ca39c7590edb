"""Layouts: whether the tensors of a row lie alike, and copies that do where they don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from optkit_core.native.memory_layout import is_dense, strides
from optkit_core.step.buckets import Bucket


class Walk(NamedTuple):
    """How a kernel walks the tensors of a row.

    Args:
        names: the buffers that it takes.
        shaped: those of them that aren't of the parameter's shape.
        by_rows: whether elements must lie row by row, since it matters which are in one.
    """

    names: tuple[str, ...]
    shaped: frozenset[str] = frozenset()
    by_rows: bool = False

    def can_take(self, p: Tensor, g: Tensor, state: Mapping[str, Tensor]) -> bool:
        """Return whether tensors lie as they must."""
        own = [state[name] for name in self.shaped]
        alike = [p, g, *[state[name] for name in self.names if name not in self.shaped]]
        packed = [p, *own] if self.by_rows else own
        return (
            all(map(Tensor.is_contiguous, packed))
            and all(_is_resolved(t, t) and t.device == p.device for t in own)
            and lie_alike(alike)
        )


def sorted_rows(bucket: Bucket, walk: Walk) -> tuple[list[list[int]], list[int]]:
    """Return the positions of rows that can be walked together, and of those that can't.

    Args:
        bucket: the parameters, gradients and states.
        walk: how a kernel walks them.

    Returns:
        Rows whose tensors lie alike, in one list for each combination of dtypes, those of
        step counter and scalar buffers included; and rows that must be copied first.
    """
    if is_uniform(bucket, walk.names):
        return [list(range(len(bucket)))], []
    alike: dict[tuple[torch.dtype, ...], list[int]] = {}
    odd = []
    rows = zip(bucket.params, bucket.grads, bucket.states, bucket.steps, strict=True)
    for position, (p, g, state, step) in enumerate(rows):
        if walk.can_take(p, g, state):
            tensors = (p, g, *[state[name] for name in walk.names])
            numbers = (step, *[state[name] for name in bucket.scalars])
            dtypes = tuple([t.dtype for t in (*tensors, *numbers)])
            alike.setdefault(dtypes, []).append(position)
        else:
            odd.append(position)
    return list(alike.values()), odd


def is_uniform(bucket: Bucket, names: Sequence[str]) -> bool:
    """Return whether all rows lie alike in the plainest way: looked at column by column.

    Their tensors are of the shapes that they should have: whoever plans a step sees to that.
    """
    columns = [[state[name] for state in bucket.states] for name in names]
    columns = [bucket.params, bucket.grads, *columns]
    if bucket.key.dtype.is_complex or not all(map(_is_plain, columns)):
        return False
    devices = {tensor.device for column in columns for tensor in column}
    # numbers.cpp reads all counters of a table in one type, and so the scalars of one name.
    numbers = [bucket.steps, *[[s[name] for s in bucket.states] for name in bucket.scalars]]
    return len(devices) == 1 and all(len({t.dtype for t in column}) == 1 for column in numbers)


def _is_plain(column: Sequence[Tensor]) -> bool:
    """Return whether tensors are contiguous, of one real dtype, and hold their values."""
    dtypes = {tensor.dtype for tensor in column}
    return (
        len(dtypes) == 1
        and not dtypes.pop().is_complex
        and all(map(Tensor.is_contiguous, column))
        and not any(map(Tensor.is_neg, column))
    )


def lie_alike(tensors: Sequence[Tensor]) -> bool:
    """Return whether tensors fill their memory without gaps, in the same order.

    Their elements are then found at the same offsets, from 0 to their count.
    """
    first = tensors[0]
    shape, stride = first.shape, first.stride()
    return (first.is_contiguous() or is_dense(first)) and all(
        [
            t.shape == shape and (t.stride() == stride or _same_strides(t, first))
            for t in tensors[1:]
        ]
        + [_is_resolved(t, first) for t in tensors]
    )


def _same_strides(tensor: Tensor, first: Tensor) -> bool:
    """Return whether the strides that matter are the same: those of more than one element."""
    return strides(tensor) == strides(first)


def _is_resolved(tensor: Tensor, first: Tensor) -> bool:
    """Return whether a tensor's memory holds its values, on the first one's device."""
    is_complex = first.is_complex()
    return (
        not tensor.is_neg()
        and tensor.is_complex() == is_complex
        and not (is_complex and tensor.is_conj())
        and (tensor is first or tensor.device == first.device)
    )
