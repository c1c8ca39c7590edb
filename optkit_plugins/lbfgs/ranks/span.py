"""The span of an optimizer: the ranks over which its parameters are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import torch
from torch import Tensor

from optkit_core import ParametersError, has_plain_part
from optkit_plugins.lbfgs.ranks.communicator import Communicator

if TYPE_CHECKING:
    ProcessGroup: TypeAlias = torch.distributed.ProcessGroup

Copies: TypeAlias = tuple[object, ...]
"""Says over which ranks there are copies of what one rank has of a parameter."""

PLAIN: Copies = ("plain",)


@attrs.frozen(eq=False)
class Span:
    """The ranks, and which of them owns what.

    Each element of a parameter has one owner, who alone counts it in a sum. Of what is replicated
    over a mesh dim that is the first rank along it; of what lies on a part of the mesh, as FSDP
    has it beside tensor parallelism, the part with the first rank; of a plain tensor, the same on
    all ranks, the first rank. In a process group that was given every plain tensor is a part of
    its own.

    Args:
        communicator: reaches the ranks.
        first: the rank that owns what all have; None where plain tensors are parts.
        rank: this one.
    """

    communicator: Communicator
    first: int | None
    rank: int

    def owns(self, p: Any) -> bool:
        """Return whether this rank counts what it holds of a parameter."""
        if not has_plain_part({}, p):
            return self.first is None or self.rank == self.first
        mesh = p.device_mesh
        coordinates = zip(mesh.get_coordinate() or (), p.placements, strict=False)
        is_first_copy = all(not at for at, placement in coordinates if placement.is_replicate())
        return is_first_copy and (self.first is None or self.first in ranks_of(mesh))

    def copies(self, p: Any) -> Copies:
        """Return what is the same of parameters of which the same ranks have copies."""
        if not has_plain_part({}, p):
            return PLAIN
        replicated = tuple(placement.is_replicate() for placement in p.placements)
        return (*ranks_of(p.device_mesh), *replicated)


def span_of(params: Sequence[Tensor], group: ProcessGroup | None) -> Span | None:
    """Return the ranks that hold some parameters together, None where this one has them all.

    Args:
        params: the parameters of an optimizer.
        group: the process group that was given, if one was.

    Raises:
        ParametersError: they lie on meshes of which none has all ranks.
    """
    if group is not None:
        size = torch.distributed.get_world_size(group)
        return _span((group,), params[0].device, size, None)
    distributed: list[Any] = [p for p in params if has_plain_part({}, p)]
    meshes = list(dict.fromkeys(p.device_mesh for p in distributed))
    if not meshes:
        return None
    widest: Any = max(meshes, key=lambda mesh: mesh.size())
    ranks = ranks_of(widest)
    for mesh in meshes:
        if not set(ranks).issuperset(ranks_of(mesh)):
            raise ParametersError(
                f"LBFGS minimizes over all parameters together, and these lie on {widest} and on "
                f"{mesh}, of which neither has all ranks. Distribute at least one parameter over "
                "a mesh of all of them, replicated along a dim for example."
            )
    return _span(_groups_of(widest), torch.device(widest.device_type), len(ranks), ranks[0])


def _span(
    groups: Sequence[ProcessGroup], device: torch.device, size: int, first: int | None
) -> Span | None:
    if size == 1:
        return None
    return Span(Communicator(groups, device, size), first, torch.distributed.get_rank())


def _groups_of(mesh: Any) -> Sequence[ProcessGroup]:
    if mesh.ndim == 1:
        return (mesh.get_group(),)
    if mesh.size() == torch.distributed.get_world_size():
        world = torch.distributed.group.WORLD
        assert world is not None
        return (world,)
    # The last dim's neighbors first, so that the rows end up in the order of the mesh.
    return tuple(mesh.get_group(dim) for dim in reversed(range(mesh.ndim)))


def ranks_of(mesh: Any) -> tuple[int, ...]:
    """Return the ranks of a mesh, in its order."""
    return tuple(mesh.mesh.flatten().tolist())
