"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch.optim.lr_scheduler import ChainedScheduler, SequentialLR

from optkit_core import create_schedule


def sequential(
    optimizer: torch.optim.Optimizer,
    schedules: Annotated[list[Mapping[str, Any]], "name and arguments of each"],
    milestones: Annotated[list[int], "the step at which each but the first begins"],
) -> SequentialLR:
    """sequential: one schedule after the other."""
    parts = [create_schedule(optimizer=optimizer, **part) for part in schedules]
    return SequentialLR(optimizer, parts, milestones)


def chained(
    optimizer: torch.optim.Optimizer,
    schedules: Annotated[list[Mapping[str, Any]], "name and arguments of each"],
) -> ChainedScheduler:
    """chained: several schedules at once, each of which changes what the one before it left."""
    parts = [create_schedule(optimizer=optimizer, **part) for part in schedules]
    return ChainedScheduler(parts, optimizer)
