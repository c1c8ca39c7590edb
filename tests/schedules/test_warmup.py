"""Warm-ups: the rates of every schedule behind one, against a closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scheduled import ARGUMENTS, made_by_hand, reloaded
from torch.optim import lr_scheduler

import optkit

STEPS = 4


def optimizer(lr: Any = 0.08) -> Any:
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    return optkit.create("sgd", [{"params": [p], "lr": lr} for p in params])


def rates(schedule: Any, steps: int) -> list[float]:
    noted = []
    for _ in range(steps):
        noted.append(float(schedule.optimizer.param_groups[0]["lr"]))
        assert float(schedule.get_last_lr()[0]) == noted[-1]
        schedule.optimizer.step()
        follows = isinstance(schedule, lr_scheduler.ReduceLROnPlateau)
        schedule.step(*[1.0] if follows else [])
    return noted


FIRST = {"cyclic": 0.01, "one_cycle": 0.05 / 25}
"""Where the warm-up leads to, for schedules that set a rate of their own."""

WARMED = [name for name in ARGUMENTS if name != "chained"]


@pytest.mark.parametrize("start", [None, 0.25, 1.0])
@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("name", WARMED)
def test_rates_rise_in_a_line_and_then_are_the_schedules(
    name: str, tensor_lr: bool, start: float | None
) -> None:
    def lr() -> Any:
        return torch.tensor(0.08, dtype=torch.float64) if tensor_lr else 0.08

    alone = rates(optkit.create_schedule(name, optimizer(lr()), **ARGUMENTS[name]), 12)
    schedule = optkit.create_schedule(
        name, optimizer(lr()), **ARGUMENTS[name], warmup=STEPS, warmup_start=start
    )
    first = 1 / (STEPS + 1) if start is None else start
    top = FIRST.get(name, 0.08)
    line = [top * (first + (1 - first) * step / STEPS) for step in range(STEPS)]
    # torch multiplies by the function of step 0 where the warm-up ends, and not where it begins.
    factor = 0.9 if name == "multiplicative" else 1.0
    expected = [*line, *(factor * rate for rate in alone)]
    assert rates(schedule, STEPS + 12) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", WARMED)
def test_a_run_is_resumed_within_the_warmup_and_behind_it(name: str) -> None:
    def made() -> Any:
        return optkit.create_schedule(name, optimizer(), **ARGUMENTS[name], warmup=STEPS)

    straight = rates(made(), 14)
    for saved_at in (2, STEPS, 9):
        schedule = made()
        noted = rates(schedule, saved_at)
        saved = reloaded([schedule.optimizer.state_dict(), schedule.state_dict()])
        resumed = made()
        resumed.optimizer.load_state_dict(saved[0])
        resumed.load_state_dict(saved[1])
        assert noted + rates(resumed, 14 - saved_at) == straight


def test_the_plateau_looks_at_no_metric_before_the_warmup_ends() -> None:
    schedule = optkit.create_schedule(
        "reduce_on_plateau", optimizer(), warmup=3, factor=0.5, patience=0
    )
    assert isinstance(schedule, lr_scheduler.ReduceLROnPlateau)
    noted = []
    for metric in (1.0, 9.0, 9.0, 5.0, 5.0, 4.0):
        noted.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step(metric)
    assert noted == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.08, 0.04])


def test_no_warmup_leaves_the_class_of_torch() -> None:
    schedule = optkit.create_schedule("step", optimizer(), step_size=2, warmup=0, warmup_start=0.5)
    assert type(schedule) is lr_scheduler.StepLR


def test_a_sequence_is_warmed_up_as_torch_would_be_told_by_hand() -> None:
    ours = optkit.create_schedule("sequential", optimizer(), **ARGUMENTS["sequential"], warmup=4)
    assert rates(ours, 24) == rates(made_by_hand(optimizer(), 4), 24)


def test_a_schedule_that_cant_begin_later_is_left_out() -> None:
    with pytest.raises(optkit.ArgumentError, match="ChainedScheduler"):
        optkit.create_schedule("chained", optimizer(), **ARGUMENTS["chained"], warmup=3)


def own_warmup(optimizer: Any, warmup: float) -> Any:
    """own: takes a warm-up of its own, as a part of something."""
    assert warmup == 0.5
    return lr_scheduler.ConstantLR(optimizer, warmup)


def test_a_schedule_with_a_warmup_of_its_own_is_given_it() -> None:
    optkit.register("own", own_warmup, kind="schedule")
    try:
        schedule = optkit.create_schedule("own", optimizer(), warmup=0.5)
        assert schedule.get_last_lr() == [0.04, 0.04]
        with pytest.raises(optkit.ArgumentError, match="takes no 'warmup_start'"):
            optkit.create_schedule("own", optimizer(), warmup=0.5, warmup_start=1.0)
    finally:
        optkit.unregister("own", kind="schedule")
