"""Regions: which elements of a whole tensor each rank of a mesh holds.

torch tells a rank where its own part of a DTensor begins. An owner has to know it of all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise, product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core import torch_private
from optkit_core.shards.placements import is_distributed

Coordinate = tuple[int, ...]
"""Where a rank is on a mesh: a number for each mesh dim."""

Indices = range | list[int]
"""The positions along a dim that a rank holds, ascending."""


class Box(NamedTuple):
    """A block of elements that lie together both in the whole tensor and in a rank's part.

    Args:
        of_whole: the slice of each dim of the whole tensor.
        of_part: the slice of each dim of the part.
    """

    of_whole: tuple[slice, ...]
    of_part: tuple[slice, ...]


@lru_cache(maxsize=4096)
def boxes(
    shape: tuple[int, ...],
    mesh_shape: tuple[int, ...],
    placements: tuple[Any, ...],
    coordinate: Coordinate,
) -> tuple[Box, ...]:
    """Return the blocks that a rank holds of a tensor; none where its part is empty.

    They are more than one where FSDP2 has sharded what is sharded along the same dim already.

    Args:
        shape: of the whole tensor.
        mesh_shape: how many ranks there are along each mesh dim.
        placements: of the DTensor, one for each mesh dim.
        coordinate: of the rank.
    """
    held = _held(shape, mesh_shape, placements, coordinate)
    if not all(held):
        return ()
    dims = [list(_runs(indices)) for indices in held]
    return tuple(
        Box(tuple(whole for whole, _ in runs), tuple(part for _, part in runs))
        for runs in product(*dims)
    )


def part_shape(
    shape: tuple[int, ...],
    mesh_shape: tuple[int, ...],
    placements: tuple[Any, ...],
    coordinate: Coordinate,
) -> tuple[int, ...]:
    """Return the shape of a rank's part; see `boxes` for the arguments."""
    return tuple(map(len, _held(shape, mesh_shape, placements, coordinate)))


def are_known(p: Any) -> bool:
    """Return whether it is known which elements of a DTensor each rank has."""
    if not is_distributed(p):
        return True
    coordinate = p.device_mesh.get_coordinate()
    shards = [placement for placement in p.placements if hasattr(placement, "dim")]
    if coordinate is None or None in map(torch_private.split_factor, shards):
        return False
    mesh_shape = tuple(p.device_mesh.shape)
    expected = part_shape(tuple(p.shape), mesh_shape, tuple(p.placements), tuple(coordinate))
    return tuple(torch_private.local_part(p).shape) == expected


def empty_rows(parameter: Any, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a DTensor without values, of which each rank holds rows where it holds a part.

    It is sharded along its first dim over the mesh dims over which a parameter is sharded, along
    whichever dim that is, so that a rank's share of it is as large as of the parameter.

    Args:
        parameter: a DTensor.
        shape: of the new one.
        dtype: of the new one.
    """
    from torch.distributed.tensor import DTensor, Replicate, Shard  # there with the parameter

    mesh, part = parameter.device_mesh, torch_private.local_part(parameter)
    placements = tuple(
        Replicate() if placement.is_replicate() or not shape else Shard(0)
        for placement in parameter.placements
    )
    own = part_shape(tuple(shape), tuple(mesh.shape), placements, tuple(mesh.get_coordinate()))
    strides = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(
        part.new_empty(own, dtype=dtype),
        mesh,
        placements,
        run_check=False,
        shape=torch.Size(shape),
        stride=strides,
    )


def has_all(part: Tensor, shape: Sequence[int]) -> bool:
    """Return whether a part is the whole tensor."""
    return tuple(part.shape) == tuple(shape)


def _held(
    shape: tuple[int, ...],
    mesh_shape: tuple[int, ...],
    placements: tuple[Any, ...],
    coordinate: Coordinate,
) -> list[Indices]:
    """Return the positions along each dim: mesh dim after mesh dim divides what is left."""
    held: list[Indices] = [range(size) for size in shape]
    for placement, count, number in zip(placements, mesh_shape, coordinate, strict=True):
        dim = getattr(placement, "dim", None)
        if dim is not None:
            factor = torch_private.split_factor(placement) or 1
            pieces = [_chunk(held[dim], factor, piece) for piece in range(factor)]
            held[dim] = _joined([_chunk(piece, count, number) for piece in pieces])
    return held


def _chunk(indices: Indices, count: int, number: int) -> Indices:
    """Return one of as many chunks as `torch.chunk` makes, and nothing beyond them."""
    size = -(-len(indices) // count)
    return indices[size * number : size * (number + 1)]


def _joined(pieces: list[Indices]) -> Indices:
    return pieces[0] if len(pieces) == 1 else [index for piece in pieces for index in piece]


def _runs(indices: Indices) -> Iterator[tuple[slice, slice]]:
    """Yield slices of the whole dim and of the part's, in which positions follow each other."""
    if isinstance(indices, range):
        yield slice(indices.start, indices.stop), slice(0, len(indices))
        return
    ends = [i for i, (left, right) in enumerate(pairwise(indices), 1) if right != left + 1]
    for begin, end in pairwise([0, *ends, len(indices)]):
        yield slice(indices[begin], indices[end - 1] + 1), slice(begin, end)
