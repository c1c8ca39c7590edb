"""Layouts: whether the tensors of a row lie alike, and copies that do where they don't."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optkit_core.buckets import Bucket
from optkit_core.buffers import STEP
from optkit_core.implementations.fused.table import real_dtype
from optkit_core.memory import is_dense, strides


def sorted_rows(bucket: Bucket, names: Sequence[str]) -> tuple[list[list[int]], list[int]]:
    """Return the positions of rows that can be walked together, and of those that can't.

    Args:
        bucket: parameters of one kind.
        names: the buffers that a kernel takes.

    Returns:
        Rows whose tensors lie alike, in one list for each combination of dtypes, that of
        the step counter included; and rows that must be copied first.
    """
    alike: dict[tuple[torch.dtype, ...], list[int]] = {}
    odd = []
    for position, (p, g, state) in enumerate(
        zip(bucket.params, bucket.grads, bucket.states, strict=True)
    ):
        tensors = (p, g, *(state[name] for name in names))
        if lie_alike(tensors):
            dtypes = tuple(map(real_dtype, (*tensors, state[STEP])))
            alike.setdefault(dtypes, []).append(position)
        else:
            odd.append(position)
    return list(alike.values()), odd


def lie_alike(tensors: Sequence[Tensor]) -> bool:
    """Return whether tensors fill their memory without gaps, in the same order.

    Their elements are then found at the same offsets, from 0 to their count.
    """
    first = tensors[0]
    return is_dense(first) and all(_lies_like(t, first) for t in tensors)


def _lies_like(tensor: Tensor, first: Tensor) -> bool:
    return (
        tensor.shape == first.shape
        and (tensor.stride() == first.stride() or strides(tensor) == strides(first))
        and tensor.device == first.device
        and tensor.is_complex() == first.is_complex()
        and not (tensor.is_neg() or (tensor.is_complex() and tensor.is_conj()))
    )
