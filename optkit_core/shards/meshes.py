"""Meshes: the ranks that hold parts of the same tensors, and the group in which they talk."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch


class MeshRanks:
    """The ranks of a mesh, in ascending order.

    Args:
        mesh: a `DeviceMesh` that this rank is on.

    Attributes:
        ranks: their numbers among all ranks.
        own: which of them this rank is, from 0.
        shape: how many ranks there are along each mesh dim.
        coordinates: where each rank is.
        device: where the mesh's backend takes tensors.
    """

    def __init__(self, mesh: Any) -> None:
        """Look everything up."""
        from torch.distributed import get_rank  # there, since somebody has made a mesh

        self.shape: tuple[int, ...] = tuple(mesh.shape)
        self.device = torch.device(mesh.device_type)
        places = dict(zip(_ranks(mesh), product(*map(range, self.shape)), strict=True))
        self.ranks = tuple(sorted(places))
        self.coordinates = [places[rank] for rank in self.ranks]
        self.own = self.ranks.index(get_rank())
        self._numbers = {place: number for number, place in enumerate(self.coordinates)}

    def gives(self, placements: tuple[Any, ...], owner: int) -> bool:
        """Return whether this rank is one of the `sources` for an owner."""
        places = zip(placements, self.coordinates[self.own], self.coordinates[owner], strict=True)
        return all(own == its for placed, own, its in places if placed.is_replicate())

    def sources(self, placements: tuple[Any, ...], owner: int) -> list[int]:
        """Return the ranks whose parts together make a whole tensor.

        Args:
            placements: of the DTensor.
            owner: one of the ranks; where there are replicas, the parts of its own are taken.
        """
        places = zip(placements, self.shape, self.coordinates[owner], strict=True)
        axes = [[own] if placed.is_replicate() else range(count) for placed, count, own in places]
        return [self._numbers[place] for place in product(*axes)]


class Meshes:
    """The meshes of an optimizer's parameters, and a process group for each set of ranks."""

    def __init__(self) -> None:
        """Know of none."""
        self._meshes: dict[Any, MeshRanks] = {}
        self._groups: dict[tuple[int, ...], Any] = {}

    def ranks(self, mesh: Any) -> MeshRanks:
        """Return the ranks of a mesh."""
        found = self._meshes.get(mesh)
        if found is None:
            found = self._meshes[mesh] = MeshRanks(mesh)
        return found

    def group(self, mesh: Any) -> Any:
        """Return a group of all ranks of a mesh; the first time each of them has to ask for it."""
        ranks = self.ranks(mesh).ranks
        if ranks not in self._groups:
            self._groups[ranks] = _group(mesh, ranks)
        return self._groups[ranks]


def _ranks(mesh: Any) -> list[int]:
    ranks: list[int] = mesh.mesh.flatten().tolist()
    return ranks


def _group(mesh: Any, ranks: tuple[int, ...]) -> Any:
    """Return a process group of ranks, a new one only where there is none."""
    import torch.distributed as dist  # there, since somebody has made a mesh

    if len(ranks) == dist.get_world_size():
        return dist.group.WORLD
    if mesh.ndim == 1:
        return mesh.get_group()
    return dist.new_group(list(ranks), use_local_synchronization=True)
