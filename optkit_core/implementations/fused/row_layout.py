"""Layouts: whether the tensors of a row lie alike, and copies that do where they don't."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optkit_core.native.memory_layout import is_dense, strides
from optkit_core.step.buckets import Bucket


def sorted_rows(bucket: Bucket, names: Sequence[str]) -> tuple[list[list[int]], list[int]]:
    """Return the positions of rows that can be walked together, and of those that can't.

    Args:
        bucket: the parameters, gradients and states.
        names: the buffers that a kernel takes.

    Returns:
        Rows whose tensors lie alike, in one list for each combination of dtypes, those of
        step counter and scalar buffers included; and rows that must be copied first.
    """
    if is_uniform(bucket, names):
        return [list(range(len(bucket)))], []
    alike: dict[tuple[torch.dtype, ...], list[int]] = {}
    odd = []
    rows = zip(bucket.params, bucket.grads, bucket.states, bucket.steps, strict=True)
    for position, (p, g, state, step) in enumerate(rows):
        tensors = (p, g, *[state[name] for name in names])
        if lie_alike(tensors):
            numbers = (step, *[state[name] for name in bucket.scalars])
            dtypes = tuple([t.dtype for t in (*tensors, *numbers)])
            alike.setdefault(dtypes, []).append(position)
        else:
            odd.append(position)
    return list(alike.values()), odd


def is_uniform(bucket: Bucket, names: Sequence[str]) -> bool:
    """Return whether all rows lie alike in the plainest way: looked at column by column.

    Their tensors are of one shape: whoever plans a step sees to that.
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
