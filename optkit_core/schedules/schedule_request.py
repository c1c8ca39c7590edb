"""What is asked for when a schedule is created: checked before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from optkit_core.declaration.collection_ranges import PerGroup
from optkit_core.errors import ArgumentError
from optkit_core.factories.factory_arguments import Arguments, arguments_of
from optkit_core.plugins import entry_points
from optkit_core.schedules.cycled_momentum import require_momentum
from optkit_core.schedules.warmup import WARMUP, with_warmup


def schedule_arguments(factory: Callable[..., Any]) -> Arguments:
    """Return the arguments of a schedule: its own, and those of a warm-up.

    Args:
        factory: the class or function that makes it; one with a ``warmup`` of its own keeps that.
    """
    own = arguments_of(factory)
    return own if "warmup" in own.by_name else attrs.evolve(own, by_name={**own.by_name, **WARMUP})


@attrs.frozen(eq=False)
class ScheduleRequest:
    """A schedule that can be made, as far as that is known without an optimizer.

    Args:
        name: as it was asked for.
        factory: the class or function that makes it.
        arguments: its own, checked.
        warmup: steps of the warm-up.
        warmup_start: the part of the rate at which that starts.
    """

    name: str
    factory: Callable[..., Any]
    arguments: dict[str, Any]
    warmup: int = 0
    warmup_start: float | None = None

    def make(self, optimizer: Optimizer) -> LRScheduler:
        """Return the schedule, for an optimizer that it changes.

        Raises:
            ArgumentError: an argument doesn't fit the optimizer.
        """
        self._check_lengths(len(optimizer.param_groups))
        require_momentum(self.factory, self.arguments, optimizer)
        if self.warmup:
            return with_warmup(
                self.factory, optimizer, self.arguments, self.warmup, self.warmup_start
            )
        schedule: LRScheduler = self.factory(optimizer, **self.arguments)
        return schedule

    def _check_lengths(self, groups: int) -> None:
        known = arguments_of(self.factory).by_name
        for name, value in self.arguments.items():
            range = known[name].range if name in known else None
            if isinstance(range, PerGroup):
                complaint = range.complaint_of_length(name, value, groups)
                if complaint:
                    raise ArgumentError(complaint, name)


def requested(name: str, given: Mapping[str, Any]) -> ScheduleRequest:
    """Return a schedule that can be made, without making it.

    Args:
        name: of the schedule.
        given: its arguments, and those of a warm-up.

    Raises:
        UnknownScheduleError: no schedule is called that.
        AmbiguousNameError: several distributions claim the name.
        ArgumentError: an argument is missing, unknown, or isn't allowed.
    """
    factory = entry_points.load(name, "schedule")
    checked = schedule_arguments(factory).checked(f"schedule {name!r}", given)
    if "warmup" in arguments_of(factory).by_name:
        return ScheduleRequest(name, factory, checked)
    warmup = {key: checked.pop(key) for key in WARMUP if key in checked}
    return ScheduleRequest(name, factory, checked, **warmup)
