"""A warm-up before a schedule: a straight line to the rate at which the schedule begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)

from optkit_core import torch_private
from optkit_core.declaration.ranges import whole, within
from optkit_core.errors import ArgumentError
from optkit_core.factories.factory_arguments import Argument
from optkit_core.schedules.plateau_after_warmup import PlateauAfterWarmup

WARMUP = {
    item.name: item
    for item in (
        Argument("warmup", "int", whole(0), 0, "steps of a warm-up before the schedule begins"),
        Argument(
            "warmup_start",
            "float | None",
            within(0.0, 1.0, closed=True, above=True, optional=True, torch_words=None),
            None,
            "the part of the rate at which it starts; None: 1 / (warmup + 1)",
        ),
    )
}
"""The arguments that every schedule takes beside its own."""


def line(steps: int, start: float | None) -> dict[str, Any]:
    """Return the arguments of the schedule that is the warm-up.

    Args:
        steps: how many there are before the schedule begins.
        start: the part of the rate at the first of them; None: they rise as evenly from zero as
            the others do, so that the first one does something too.

    >>> line(4, None)
    {'start_factor': 0.2, 'end_factor': 1.0, 'total_iters': 4}
    """
    first = 1 / (steps + 1) if start is None else start
    return {"start_factor": first, "end_factor": 1.0, "total_iters": steps}


class AfterWarmup(SequentialLR):
    """torch's SequentialLR, of which the second schedule finds the full rate when it begins.

    Those that go on from the rate of the step before would otherwise begin below it.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int]
    ) -> None:
        """Begin with the first, which is the warm-up."""
        super().__init__(optimizer, schedulers, milestones)
        self.warmup_steps = milestones[0]

    # As SequentialLR has it, whose own base class takes a deprecated argument.
    def step(self) -> None:  # type: ignore[override]
        """Make a step of the warm-up, or of what comes after it."""
        if self.last_epoch + 1 == self.warmup_steps:
            for group in self.optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(group["initial_lr"])
                else:
                    group["lr"] = group["initial_lr"]
        super().step()


def with_warmup(
    make: Callable[..., Any],
    optimizer: Optimizer,
    arguments: dict[str, Any],
    steps: int,
    start: float | None,
) -> LRScheduler:
    """Return a schedule that begins after a warm-up.

    Args:
        make: the class or function that makes the schedule.
        optimizer: for which it is made.
        arguments: of the schedule; it counts its steps from the end of the warm-up.
        steps: of the warm-up, at least one.
        start: as for `line`.

    Raises:
        ArgumentError: the schedule can't begin later.
    """
    if arguments.get("last_epoch", -1) != -1:
        raise ArgumentError(
            "last_epoch must be -1 beside a warm-up, which would begin anew. Load the state of the "
            "schedule instead, by load_state_dict().",
            "last_epoch",
        )
    if make is ReduceLROnPlateau:
        return PlateauAfterWarmup(optimizer, line(steps, start), **arguments)
    # First of the two: some schedules set the rate to which the warm-up is to lead.
    schedule = make(optimizer, **arguments)
    schedules, milestones = _sequence(schedule)
    begins = [steps, *(steps + milestone for milestone in milestones)]
    return AfterWarmup(optimizer, [LinearLR(optimizer, **line(steps, start)), *schedules], begins)


def _sequence(schedule: Any) -> tuple[list[Any], list[int]]:
    """Return schedules that can begin later, and at which of their steps all but the first do."""
    if isinstance(schedule, SequentialLR):
        # Its members come after the warm-up by themselves: as a whole, torch can't begin it later.
        sequence = torch_private.sequence_of(schedule)
        if sequence is not None:
            return sequence
    if isinstance(schedule, (ChainedScheduler, SequentialLR, ReduceLROnPlateau)):
        raise ArgumentError(
            f"warmup must be 0 for a {type(schedule).__name__}, which torch's SequentialLR can't "
            "begin later. Make the warm-up one of the schedules that it is made of, or a schedule "
            "of its own.",
            "warmup",
        )
    return [schedule], []
