"""Parameter groups: what may differ between them, and what follows for the blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core import GroupError, joint_dtype
from optkit_plugins.lbfgs.vectors.block import Block

COMMON = (
    "max_iter",
    "max_eval",
    "tolerance_grad",
    "tolerance_change",
    "history_size",
    "line_search_fn",
    "maximize",
    "initial_step",
    "history_dtype",
)
"""What all groups share, since they are minimized together."""


def require_agreement(*groups: Mapping[str, Any]) -> None:
    """Raise if groups differ in more than the learning rate.

    Raises:
        GroupError: they do; a key that one of them lacks doesn't count.
    """
    for name in COMMON:
        values = [group[name] for group in groups if name in group]
        for value in values[1:]:
            if value != values[0]:
                raise GroupError(
                    "LBFGS minimizes over all parameter groups together, so only lr may differ "
                    f"between them; got {name}={values[0]!r:.60} and {name}={value!r:.60}."
                )


def history_dtype(value: str | torch.dtype | None) -> torch.dtype | None:
    """Return a dtype that is given as one or by its name."""
    found: torch.dtype | None = getattr(torch, value) if isinstance(value, str) else value
    return found


def scales(groups: Sequence[Mapping[str, Any]]) -> list[float]:
    r"""Return :math:`\sigma` of each group, the root of its learning rate beside the largest."""
    if len(groups) == 1:
        return [1.0]
    rates = [float(group["lr"]) for group in groups]
    most = max(rates)
    return [math.sqrt(rate / most) if most else 1.0 for rate in rates]


def blocks(groups: Sequence[Mapping[str, Any]], storage: Callable[..., type[Block]]) -> list[Block]:
    """Return blocks for all parameters that have elements.

    Args:
        groups: the parameter groups.
        storage: called with a group and a parameter, returns the class of its block.
    """
    placed: dict[Any, list[Tensor]] = {}
    for place, group in enumerate(groups):
        for p in group["params"]:
            if p.numel():
                kind = storage(group, p)
                own = id(p) if kind.takes_one else None
                placed.setdefault((place, p.device, kind, own), []).append(p)
    first, sigma = groups[0], scales(groups)
    dtype = joint_dtype(p.dtype for members in placed.values() for p in members)
    return [
        kind(
            members,
            dtype,
            history_dtype(first["history_dtype"]) or dtype,
            first["history_size"],
            sigma[place],
            -1 if first["maximize"] else 1,
        )
        for (place, _, kind, _), members in placed.items()
    ]
