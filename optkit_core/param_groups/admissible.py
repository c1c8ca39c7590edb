"""Which parameters an algorithm takes: of how many dimensions, and whether a shard will do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from optkit_core.errors import GroupError
from optkit_core.param_groups import groups


class Requirements(Protocol):
    """What an algorithm's class says of its parameters."""

    parameter_dims: ClassVar[Collection[int] | None]
    needs_whole_matrices: ClassVar[bool]
    restricts_parameters: ClassVar[bool]

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
        GroupError: naming the parameter, its shape and the way out.
    """
    # Asked of thousands of parameters one by one, most classes would say the same of each.
    for p in group["params"] if owner.restricts_parameters else ():
        reason = owner.parameter_complaint(p)
        if reason:
            raise GroupError(f"{groups.label(param_groups, p)} {reason}")


def is_restricted(owner: type[Requirements]) -> bool:
    """Return whether there are parameters that `complaint` finds fault with."""
    return owner.parameter_dims is not None or owner.needs_whole_matrices


def complaint(owner: type[Requirements], p: Tensor) -> str:
    """Return why an algorithm can't step a parameter, ``""`` where it can.

    Args:
        owner: the algorithm's class.
        p: the parameter.
    """
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
    if owner.needs_whole_matrices and _is_sharded(p):
        return (
            f"is sharded, and {owner.__name__} needs whole matrices. Replicate it, by "
            "p.redistribute(placements=[Replicate()]), or take an elementwise algorithm, which "
            "steps each shard by itself."
        )
    return ""


def _is_sharded(p: Tensor) -> bool:
    """Return whether a tensor is a DTensor of which no device has all elements."""
    return not all(placement.is_replicate() for placement in getattr(p, "placements", ()))
