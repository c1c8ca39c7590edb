"""Buffers with a shape of their own beside a DTensor: where their elements are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core import torch_private

SIZES = (1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049)
"""Sizes of a parameter that is looked at to see which of its dims are those of a buffer."""


def empty(parameter: Any, shape: torch.Size, dtype: torch.dtype, of: Callable[..., Any]) -> Tensor:
    """Return a DTensor for a buffer, without values.

    A dim that is one of the parameter's is sharded as that one is. What has been reduced, and any
    other dim, is whole on each rank.

    Args:
        parameter: a DTensor.
        shape: the buffer's.
        dtype: the buffer's.
        of: returns a buffer's shape, given a parameter.
    """
    dims, part = _own_dims(parameter, shape, of), torch_private.local_part(parameter)
    sizes = list(shape)
    for own, dim in dims.items():
        sizes[dim] = part.size(own)
    buffer: Tensor = type(parameter).from_local(
        part.new_empty(sizes, dtype=dtype),
        parameter.device_mesh,
        [_moved(placement, dims) for placement in parameter.placements],
        run_check=False,
        shape=shape,
        stride=torch.empty(shape, device="meta").stride(),
    )
    return buffer


def _own_dims(parameter: Tensor, shape: Sequence[int], of: Callable[..., Any]) -> dict[int, int]:
    """Return which dim of a buffer each dim of its parameter is, if it is one."""
    probe = torch.empty(SIZES[: parameter.dim()], dtype=parameter.dtype, device="meta")
    try:
        found = tuple(of(probe))
    # The function is a plugin's own, and may not take this shape.
    except Exception:
        return {}
    own = [size for size in found if size in SIZES and found.count(size) == 1]
    dims = {SIZES.index(size): found.index(size) for size in own}
    fits = len(found) == len(shape) and all(shape[b] == parameter.size(p) for p, b in dims.items())
    return dims if fits else {}


def _moved(placement: Any, dims: dict[int, int]) -> Any:
    """Return how a buffer is placed on a mesh dim, given how its parameter is."""
    from torch.distributed.tensor import Replicate  # a third of a second, if it is the first

    own = getattr(placement, "dim", None)
    if own not in dims:
        return Replicate()
    factor = getattr(placement, "split_factor", None)
    kind = type(placement)
    return kind(dims[own]) if factor is None else kind(dims[own], split_factor=factor)
