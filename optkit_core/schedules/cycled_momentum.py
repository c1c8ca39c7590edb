"""Momentum that a schedule moves against the rate: every group has to have the same one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from optkit_core.errors import ArgumentError

CYCLES = "cycle_momentum"


def require_momentum(factory: Any, arguments: Mapping[str, Any], optimizer: Optimizer) -> None:
    """Raise where a schedule is to cycle a momentum that not every group has.

    torch takes the one that the optimizer's defaults have, and writes it into every group.

    Args:
        factory: the class or function that makes the schedule.
        arguments: of the schedule.
        optimizer: for which it is made.

    Raises:
        ArgumentError: a group has none; says which.
    """
    if factory not in (CyclicLR, OneCycleLR) or not arguments.get(CYCLES, True):
        return
    key = next((key for key in ("betas", "momentum") if key in optimizer.defaults), None)
    if key is None:
        what = "the optimizer has no 'momentum' and no 'betas'"
    else:
        lacking = [i for i, group in enumerate(optimizer.param_groups) if key not in group]
        if not lacking:
            return
        algorithm = optimizer.param_groups[lacking[0]].get("algorithm")
        of = "" if algorithm is None else f" ({algorithm})"
        what = f"it sets {key!r} in every group, and group {lacking[0]}{of} has none"
    raise ArgumentError(f"{CYCLES} must be False here: {what}.", CYCLES)
