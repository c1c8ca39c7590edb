"""Parameter groups: what may differ between them, and what follows for the blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from optkit_core import GroupError, joint_dtype
from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.storage import SingleBlock

COMMON = (
    *("max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size"),
    *("line_search_fn", "maximize", "initial_step", "history_dtype"),
)
"""What all groups share, since they are minimized together."""

Storage: TypeAlias = Callable[[Mapping[str, Any], Tensor], Callable[..., Block]]
"""Returns the class of a parameter's block, given its group and it."""


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


def scales(groups: Sequence[Mapping[str, Any]]) -> list[float]:
    r"""Return :math:`\sigma` of each group, the root of its learning rate beside the largest."""
    rates = [float(group["lr"]) for group in groups]
    most = max(rates)
    # One rate alone scales nothing, not even 0: it is the step length already.
    return [math.sqrt(rate / most) if most and len(rates) > 1 else 1.0 for rate in rates]


def blocks(groups: Sequence[Mapping[str, Any]], storage: Storage) -> list[Block]:
    """Return blocks for all parameters that have elements.

    Args:
        groups: the parameter groups.
        storage: says how a parameter's vectors are stored.
    """
    members: dict[Any, list[Tensor]] = {}
    for position, group in enumerate(groups):
        for p in group["params"]:
            if p.numel():
                kind = storage(group, p)
                alone = id(p) if kind is SingleBlock else None
                members.setdefault((position, p.device, kind, alone), []).append(p)
    first, sigma = groups[0], scales(groups)
    dtype = joint_dtype(p.dtype for params in members.values() for p in params)
    given = first["history_dtype"] or dtype
    history_dtype = getattr(torch, given) if isinstance(given, str) else given
    size, sign = first["history_size"], -1 if first["maximize"] else 1
    return [
        kind(params, dtype, history_dtype, size, sigma[position], sign)
        for (position, _, kind, _), params in members.items()
    ]
