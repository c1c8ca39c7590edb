"""Buffers of all parameters together: vectors over all of their elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.buffer_kinds.kind import BufferKind


class JointKind(BufferKind):
    """A vector over all elements of all parameters, or a list of such."""

    name = "joint"
    shape_rule = "one dimension, all elements of all parameters"
    dtype_rule = "the parameters', promoted"
    has_own_dtype = True
    is_joint = True

    def complaints(self, optional: bool) -> Iterator[str]:
        """Say which arguments of the declaration contradict the kind."""
        yield from super().complaints(optional)
        if not optional:
            yield "the algorithm writes what is of kind 'joint', so it needs optional=True."


def joint_dtype(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """Return the dtype of a vector over parameters of these dtypes, complex ones as pairs.

    It is float32 at least: the products of long vectors of half precision mean nothing.

    >>> joint_dtype([torch.bfloat16, torch.complex64])
    torch.float32
    """
    return reduce(torch.promote_types, dtypes, torch.float32).to_real()


def vector_complaint(value: Any, length: int) -> str | None:
    """Return why a saved value isn't a joint vector or a list of such, None where it is.

    Args:
        value: what was saved.
        length: the number of elements of all parameters, complex ones counted twice.
    """
    # A history is a list of vectors, one for each remembered pair.
    for vector in value if isinstance(value, list) else [value]:
        is_real = isinstance(vector, Tensor) and vector.is_floating_point()
        if not is_real or vector.layout != torch.strided or vector.device.type == "meta":
            return f"must be a vector of {length} real numbers, got {vector!r:.40}"
        if vector.shape != (length,):
            return f"has shape {list(vector.shape)}, not [{length}]"
    return None


def reordered(value: Any, order: Sequence[int], sizes: Sequence[int]) -> Any:
    """Return a joint vector, or a list of such, with the parameters' blocks in another order.

    Args:
        value: the vector or the list.
        order: for each block of the result its position in `value`.
        sizes: the lengths of the blocks as they are in `value`.

    >>> reordered(torch.tensor([1.0, 2.0, 3.0]), [1, 0], [1, 2])
    tensor([2., 3., 1.])
    """
    if isinstance(value, list):
        return [reordered(item, order, sizes) for item in value]
    blocks = value.split(list(sizes))
    return torch.cat([blocks[position] for position in order])
