"""What a user calls: `create_schedule`."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch.optim.lr_scheduler import LRScheduler

from optkit_core.errors import ArgumentError, OptkitError, PluginError
from optkit_core.plugins.name_by_keyword import name_by_keyword
from optkit_core.schedules.schedule_request import ScheduleRequest, requested
from optkit_core.schedules.unchanged_on_failure import unchanged_on_failure

METHODS = ("step", "state_dict", "load_state_dict")


@overload
def create_schedule(
    name: str,
    optimizer: torch.optim.Optimizer,
    *,
    warmup: int = 0,
    warmup_start: float | None = None,
    **arguments: Any,
) -> LRScheduler: ...


@overload
def create_schedule(
    optimizer: torch.optim.Optimizer,
    *,
    name: str,
    warmup: int = 0,
    warmup_start: float | None = None,
    **arguments: Any,
) -> LRScheduler: ...


@name_by_keyword
def create_schedule(name: str, optimizer: torch.optim.Optimizer, **arguments: Any) -> LRScheduler:
    """Return a new schedule of an optimizer's learning rate, one of torch's own classes mostly.

    All arguments are checked before anything changes, and where the schedule can't be made the
    optimizer stays as it was.

    Args:
        name: without regard to case, ``-`` and ``_``; torch's names are found too,
            ``"CosineAnnealingLR"`` for example.
        optimizer: whose rate it sets; any of torch's kind.
        warmup: steps in which the rate first rises in a straight line, to the optimizer's or, of
            ``"cyclic"`` and ``"one_cycle"``, to the schedule's own first one (default 0: none).
            The schedule counts its own steps from the end of them.
        warmup_start: the part of that rate at which the warm-up starts, above 0 and at most 1;
            None (default): ``1 / (warmup + 1)``.
        **arguments: the schedule's own; ``optkit.describe(name, kind="schedule")`` lists them.

    Returns:
        A ``torch.optim.lr_scheduler.LRScheduler``; with a warm-up, of a subclass of torch's
        ``SequentialLR``, and for ``"reduce_on_plateau"`` of one of ``ReduceLROnPlateau``.

    Raises:
        UnknownScheduleError: no schedule is called that.
        AmbiguousNameError: several distributions claim the name.
        ArgumentError: an argument is missing, unknown, or of a value that isn't allowed.

    >>> import torch, optkit
    >>> optimizer = optkit.create("adamw", [torch.zeros(2, requires_grad=True)], lr=1.0)
    >>> schedule = optkit.create_schedule("cosine_annealing", optimizer, T_max=2, warmup=3)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates += schedule.get_last_lr()
    ...     optimizer.step()
    ...     schedule.step()
    >>> [round(rate, 3) for rate in rates]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.0]
    """
    request = requested(name, arguments)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ArgumentError(
            f"schedule {name!r} needs a torch.optim.Optimizer, got {optimizer!r:.80}.", "optimizer"
        )
    with unchanged_on_failure(optimizer):
        return _made(request, optimizer)


def _made(request: ScheduleRequest, optimizer: torch.optim.Optimizer) -> LRScheduler:
    try:
        schedule = request.make(optimizer)
    except ArgumentError as error:
        raise ArgumentError(f"schedule {request.name!r}: {error}", error.argument) from error
    except OptkitError:
        raise
    except Exception as error:
        raise ArgumentError(
            f"schedule {request.name!r} can't be made: {type(error).__name__}: {error}"
        ) from error
    missing = [name for name in METHODS if not callable(getattr(schedule, name, None))]
    if missing:
        raise PluginError(
            f"schedule {request.name!r} has no {missing[0]}(): {request.factory!r} returned "
            f"{schedule!r:.80}."
        )
    return schedule
