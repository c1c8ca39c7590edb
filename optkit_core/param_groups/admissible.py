"""Which parameters an algorithm takes: of how many dimensions, and whether a shard will do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from optkit_core import torch_private
from optkit_core.errors import GroupError
from optkit_core.param_groups import groups
from optkit_core.param_groups.zero_shares import is_made_by_zero
from optkit_core.shards.placements import has_plain_part, placement_of
from optkit_core.shards.regions import are_known


class Requirements(Protocol):
    """What an algorithm's class says of its parameters."""

    parameter_dims: ClassVar[Collection[int] | None]
    needs_whole_matrices: ClassVar[bool]
    restricts_parameters: ClassVar[bool]
    has_body: ClassVar[bool]
    is_joint: ClassVar[bool]
    has_totals: ClassVar[bool]

    @classmethod
    def steps_parts(cls) -> bool:
        """Return whether DTensors are stepped by plain tensors that ranks hold of them."""

    @classmethod
    def completes_reductions(cls) -> bool:
        """Return whether what a part is reduced to has to be completed over the mesh."""

    @classmethod
    def parameter_complaint(cls, p: Tensor) -> str:
        """Return why a parameter can't be optimized, ``""`` where it can."""


def require_admissible(
    owner: type[Requirements], param_groups: Sequence[Mapping[str, Any]], group: Mapping[str, Any]
) -> None:
    """Raise for the first parameter of a group that an algorithm can't step.

    Args:
        owner: the algorithm's class.
        param_groups: those of the optimizer, for the message.
        group: the group, which is one of them.

    Raises:
        GroupError: naming the parameter, its shape and the way out; or the engine that gives
            this rank some of the parameters where the algorithm needs all of them.
    """
    if owner.is_joint or owner.has_totals:
        _require_all(owner)
    # Asked of thousands of parameters one by one, most classes would say the same of each.
    for p in group["params"] if owner.restricts_parameters else ():
        reason = owner.parameter_complaint(p)
        if reason:
            raise GroupError(f"{groups.label(param_groups, p)} {reason}")


def _require_all(owner: type[Requirements]) -> None:
    """Raise where ZeRO makes an optimizer of those parameters that fall to this rank."""
    if is_made_by_zero():
        raise GroupError(
            f"{owner.__name__} computes with sums over all parameters, and "
            "ZeroRedundancyOptimizer gives each rank some of them, which would take steps of their "
            "own. Shard the model by torch.distributed.fsdp.fully_shard, or create the optimizer "
            "without ZeroRedundancyOptimizer on every rank, for all parameters of a model that "
            "DistributedDataParallel replicates."
        )


def is_restricted(owner: type[Requirements]) -> bool:
    """Return whether there are parameters that `complaint` finds fault with."""
    return owner.parameter_dims is not None or _needs_whole_parameters(owner)


def complaint(owner: type[Requirements], p: Tensor) -> str:
    """Return why an algorithm can't step a parameter, ``""`` where it can.

    Args:
        owner: the algorithm's class.
        p: the parameter.
    """
    if torch_private.is_flattened(p) and _needs_whole_parameters(owner):
        return (
            "is a piece of a flat parameter of FullyShardedDataParallel, which may begin and end "
            f"within a layer, and {owner.__name__} computes with all elements of a parameter. "
            "Shard the model by torch.distributed.fsdp.fully_shard, which shards each parameter "
            "by itself, replicate it by DistributedDataParallel, or take an elementwise algorithm, "
            "adamw for example."
        )
    dims = owner.parameter_dims
    if dims is not None and p.dim() not in dims:
        which = "/".join(f"{count}D" for count in dims)
        return (
            f"has shape {tuple(p.shape)}, and {owner.__name__} takes {which} parameters alone. "
            "Let a group of its own name another algorithm, "
            "{'params': ..., 'algorithm': 'adamax'} for example. "
            f"[{owner.__name__} only supports {which} parameters whereas we found a parameter with "
            f"size: {p.shape}]"
        )
    return _sharding_complaint(owner, p) if owner.needs_whole_matrices and _is_sharded(p) else ""


def _sharding_complaint(owner: type[Requirements], p: Any) -> str:
    """Return why shards can't be made a whole matrix during a step, ``""`` where they can."""
    if not owner.steps_parts():
        return (
            f"is sharded, and {owner.__name__} needs whole matrices, which only algorithms derived "
            "from optkit_core.Matrixwise, without totals, get of shards. Replicate it, by "
            "p.redistribute(placements=[Replicate()] * p.device_mesh.ndim), or take an elementwise "
            "algorithm, which steps each shard by itself."
        )
    if has_plain_part({}, p) and are_known(p):
        return ""
    return (
        f"is placed as {placement_of(p)}, and of such parts {owner.__name__} can make no whole "
        "matrix. Distribute it by rows, by p.redistribute(placements=[Shard(0)] * "
        "p.device_mesh.ndim), or replicate it."
    )


def _needs_whole_parameters(owner: type[Requirements]) -> bool:
    """Return whether the update of an element depends on others, of its parameter or of all."""
    reduces = not owner.steps_parts() or owner.completes_reductions()
    return owner.needs_whole_matrices or (owner.has_body and reduces)


def _is_sharded(p: Tensor) -> bool:
    """Return whether a tensor is a DTensor of which no device has all elements."""
    return not all(placement.is_replicate() for placement in getattr(p, "placements", ()))
