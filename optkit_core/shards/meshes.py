"""Meshes: the ranks that hold parts of the same tensors, and the group in which they talk."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch


class MeshRanks:
    """The ranks of a mesh, in the order in which their process group counts them.

    Args:
        mesh: a `DeviceMesh` that this rank is on.
        group: the process group of its ranks.

    Attributes:
        shape: how many ranks there are along each mesh dim.
        coordinates: where each rank is.
        own: which of them this rank is.
        numbers: which rank is at each coordinate.
    """

    def __init__(self, mesh: Any, group: Any) -> None:
        """Look everything up."""
        from torch.distributed import get_process_group_ranks, get_rank  # a mesh needs a group

        self.group, self.shape = group, tuple(mesh.shape)
        self.device = torch.device(mesh.device_type)
        places = product(*map(range, self.shape))
        by_rank = dict(zip(_ranks(mesh), places, strict=True))
        self.coordinates = [by_rank[rank] for rank in get_process_group_ranks(group)]
        self.own = get_rank(group)
        self.numbers = {place: number for number, place in enumerate(self.coordinates)}

    def sources(self, placements: tuple[Any, ...], owner: int) -> list[int]:
        """Return the ranks whose parts together make a whole tensor, the nearest to an owner.

        Args:
            placements: of the DTensor.
            owner: one of the ranks; where there are replicas, its own is taken.
        """
        place, axes = self.coordinates[owner], []
        for placement, count, number in zip(placements, self.shape, place, strict=True):
            axes.append([number] if placement.is_replicate() else range(count))
        return [self.numbers[found] for found in product(*axes)]


class Meshes:
    """The meshes of an optimizer's parameters, and a group for each set of ranks."""

    def __init__(self) -> None:
        """Know of none."""
        self._meshes: dict[Any, MeshRanks] = {}
        self._groups: dict[frozenset[int], Any] = {}

    def of(self, mesh: Any) -> MeshRanks:
        """Return the ranks of a mesh; the first time all of them have to ask.

        Args:
            mesh: a `DeviceMesh`.
        """
        found = self._meshes.get(mesh)
        if found is None:
            found = self._meshes[mesh] = MeshRanks(mesh, self._group(mesh))
        return found

    def _group(self, mesh: Any) -> Any:
        ranks = frozenset(_ranks(mesh))
        if ranks not in self._groups:
            self._groups[ranks] = _group_of(mesh)
        return self._groups[ranks]


def _ranks(mesh: Any) -> list[int]:
    ranks: list[int] = mesh.mesh.flatten().tolist()
    return ranks


def _group_of(mesh: Any) -> Any:
    """Return a process group of all ranks of a mesh, a new one only where there is none."""
    import torch.distributed as dist  # there, since somebody has made a mesh

    ranks = sorted(_ranks(mesh))
    if ranks == list(range(dist.get_world_size())):
        return dist.group.WORLD
    if mesh.ndim == 1:
        return mesh.get_group()
    return dist.new_group(ranks, use_local_synchronization=True)
