"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, SequentialLR

from optkit_core import ArgumentError, create_schedule, rising, schedule_list, whole

Schedules = Annotated[list[Mapping[str, Any]], schedule_list(), "the name and arguments of each"]
Milestones = Annotated[
    list[int], rising(whole(1)), "the steps at which the second and all later ones begin"
]


def sequential(
    optimizer: torch.optim.Optimizer, schedules: Schedules, milestones: Milestones
) -> SequentialLR:
    """sequential: one schedule after the other, each of which counts from its own beginning."""
    if len(milestones) != len(schedules) - 1:
        raise ArgumentError(
            f"milestones must be {len(schedules) - 1}, one for each schedule after the first, "
            f"got {milestones}.",
            "milestones",
        )
    return SequentialLR(optimizer, _made(optimizer, schedules), milestones)


def chained(optimizer: torch.optim.Optimizer, schedules: Schedules) -> ChainedScheduler:
    """chained: several schedules at once, each of which changes what the one before it left."""
    return ChainedScheduler(_made(optimizer, schedules), optimizer)


def _made(
    optimizer: torch.optim.Optimizer, schedules: Sequence[Mapping[str, Any]]
) -> list[LRScheduler]:
    return [create_schedule(optimizer=optimizer, **schedule) for schedule in schedules]
