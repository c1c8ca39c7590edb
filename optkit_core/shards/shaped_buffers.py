"""Buffers with a shape of their own beside a DTensor: where their elements are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

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
    from torch.distributed.tensor import Replicate, empty  # a third of a second, if it is the first

    dims = _own_dims(parameter, shape, of)
    placements = [_moved(placement, dims) or Replicate() for placement in parameter.placements]
    return empty(shape, dtype=dtype, device_mesh=parameter.device_mesh, placements=placements)


def _own_dims(parameter: Tensor, shape: Sequence[int], of: Callable[..., Any]) -> dict[int, int]:
    """Return which dim of a buffer each dim of its parameter is, if it is one."""
    probe = torch.empty(SIZES[: parameter.dim()], dtype=parameter.dtype, device="meta")
    try:
        found = tuple(of(probe))
    # The function is a plugin's own, and may not take this shape.
    except Exception:
        return {}
    dims = {SIZES.index(size): dim for dim, size in enumerate(found) if size in SIZES}
    fits = len(found) == len(shape) and all(shape[b] == parameter.size(p) for p, b in dims.items())
    return dims if fits else {}


def _moved(placement: Any, dims: dict[int, int]) -> Any:
    """Return a shard of a parameter's dim as one of the buffer's, None where that is whole."""
    dim = getattr(placement, "dim", None)
    if dim is None or dim not in dims:
        return None
    moved = dims[dim]
    return placement if moved == dim else _of_dim(placement, moved)


def _of_dim(placement: Any, dim: int) -> Any:
    factor = getattr(placement, "split_factor", None)
    return type(placement)(dim) if factor is None else type(placement)(dim, split_factor=factor)
