"""Where tensors lie in memory: without gaps or not, and whether two of them overlap."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from torch import Tensor


def strides(tensor: Tensor) -> list[int]:
    """Return the strides of the dimensions that have more than one element."""
    return [s for size, s in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor's elements fill their memory without gaps or overlaps.

    >>> import torch
    >>> is_dense(torch.zeros(4, 3).t()), is_dense(torch.zeros(4, 3)[:, :2])
    (True, False)
    """
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def is_expanded(tensor: Tensor) -> bool:
    """Return whether elements of a tensor share memory with each other.

    >>> import torch
    >>> is_expanded(torch.zeros(1).expand(3)), is_expanded(torch.zeros(3))
    (True, False)
    """
    if tensor.is_contiguous():
        return False
    dims = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.numel() > 0 and any(size > 1 and stride == 0 for size, stride in dims)


def overlapping(tensors: Iterable[Tensor]) -> tuple[Tensor, Tensor] | None:
    """Return two dense tensors that share memory, or None.

    Tensors with gaps aren't looked at: two of them can lie between each other.
    """
    dense = [t for t in tensors if t.numel() and is_dense(t)]
    starts = [t.data_ptr() for t in dense]
    by_start = sorted(range(len(dense)), key=starts.__getitem__)
    # In the order of their beginnings, if any two overlap, two neighbors do.
    for i, j in pairwise(by_start):
        if starts[i] + dense[i].nbytes > starts[j]:
            return dense[i], dense[j]
    return None
