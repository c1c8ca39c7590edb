"""Spreads: over which mesh dims the elements along each dim of a tensor are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

from torch import Tensor

from optkit_core.shards.placements import is_distributed


class SpreadDim(NamedTuple):
    """One dim of a tensor.

    Args:
        size: of the whole tensor.
        mesh_dims: those over which it is sharded, in order; none of a single rank.
    """

    size: int
    mesh_dims: tuple[int, ...] = ()


Spread = tuple[SpreadDim, ...]
"""The dims of a tensor, in order."""

ONE = SpreadDim(1)


def spread_of(tensor: Tensor) -> Spread:
    """Return how a tensor is spread; one that is no DTensor isn't."""
    if not is_distributed(tensor):
        return tuple(map(SpreadDim, tensor.shape))
    distributed: Any = tensor
    sizes = tuple(distributed.device_mesh.shape)
    return _spread(tuple(tensor.shape), sizes, tuple(distributed.placements))


@lru_cache(maxsize=1024)
def _spread(shape: tuple[int, ...], sizes: tuple[int, ...], placements: Sequence[Any]) -> Spread:
    found: list[list[int]] = [[] for _ in shape]
    for mesh_dim, (size, placement) in enumerate(zip(sizes, placements, strict=True)):
        # Not by `is_shard`, which is false of shards that FSDP2 makes of those of others.
        dim = getattr(placement, "dim", None)
        if dim is not None and size > 1:
            found[dim].append(mesh_dim)
    return tuple(SpreadDim(n, tuple(dims)) for n, dims in zip(shape, found, strict=True))


@lru_cache(maxsize=4096)
def together(*spreads: Spread) -> Spread:
    """Return the spread of what is computed of several tensors, element by element.

    >>> rows, columns = (SpreadDim(8, (0,)), ONE), (ONE, SpreadDim(6))
    >>> together(rows, columns)
    (SpreadDim(size=8, mesh_dims=(0,)), SpreadDim(size=6, mesh_dims=()))
    """
    aligned = zip_longest(*map(reversed, spreads), fillvalue=ONE)
    widest = [max(dims, key=lambda dim: (dim.size != 1, dim.mesh_dims)) for dims in aligned]
    return tuple(reversed(widest))


@lru_cache(maxsize=4096)
def without(spread: Spread, over: tuple[int, ...] | None, keepdim: bool) -> Spread:
    """Return the spread of what is left after a reduction.

    Args:
        spread: before it.
        over: the dims that are reduced, from -1 down; None for all.
        keepdim: whether they stay, of size 1.
    """
    dims = _positive(spread, over)
    return tuple(
        ONE if i in dims else dim for i, dim in enumerate(spread) if keepdim or i not in dims
    )


@lru_cache(maxsize=4096)
def reduced_mesh_dims(spread: Spread, over: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the mesh dims over which a reduction is to be completed, in order.

    Args:
        spread: of what is reduced.
        over: the dims that are reduced; None for all.

    >>> matrix = (SpreadDim(8, (0,)), SpreadDim(6, (1,)))
    >>> reduced_mesh_dims(matrix, (-1,)), reduced_mesh_dims(matrix, None)
    ((1,), (0, 1))
    """
    return tuple(sorted(m for i in _positive(spread, over) for m in spread[i].mesh_dims))


def varying_mesh_dims(spread: Spread) -> tuple[int, ...]:
    """Return the mesh dims along which ranks have other elements of a tensor, in order.

    >>> varying_mesh_dims((SpreadDim(8, (1,)), SpreadDim(6, (0,))))
    (0, 1)
    """
    return reduced_mesh_dims(spread, None)


def count(spread: Spread, over: tuple[int, ...] | None = None) -> int:
    """Return how many elements of a whole tensor lie along some of its dims.

    Args:
        spread: the tensor's.
        over: the dims; None (default) for all.
    """
    product = 1
    for i in _positive(spread, over):
        product *= spread[i].size
    return product


def _positive(spread: Spread, over: tuple[int, ...] | None) -> frozenset[int]:
    dims = range(len(spread)) if over is None else over
    # torch takes 0 and -1 of a tensor without dims.
    return frozenset(dim % len(spread) for dim in dims if spread)
