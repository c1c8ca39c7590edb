"""Each schedule with each algorithm, beside torch's classes, saved and resumed in the middle."""

from __future__ import annotations

import pytest
import torch
from scheduled import (
    ARGUMENTS,
    WITH_COUNTERPART,
    advance,
    made,
    made_by_torch,
    parameters,
    reloaded,
)

import optkit


def test_every_schedule_and_every_counterpart_is_here() -> None:
    assert sorted(ARGUMENTS) == optkit.available("optkit:*", kind="schedule")
    assert len(WITH_COUNTERPART) >= 14


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_COUNTERPART)
@pytest.mark.parametrize("schedule", ARGUMENTS)
def test_lock_step_with_torch_and_a_resumed_run(schedule: str, name: str) -> None:
    straight, theirs, resumed = parameters(), parameters(), parameters()
    rates = advance(*made(name, straight, schedule), name, 20)
    assert rates == advance(*made_by_torch(name, theirs, schedule), name, 20)

    optimizer, scheduler = made(name, resumed, schedule)
    noted = advance(optimizer, scheduler, name, 9)
    saved = reloaded([optimizer.state_dict(), scheduler.state_dict()])
    optimizer, scheduler = made(name, resumed, schedule)
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    assert rates == noted + advance(optimizer, scheduler, name, 11)

    # L-BFGS sums in another order than torch does.
    within = {"rtol": 1e-5, "atol": 1e-6} if name == "lbfgs" else {"rtol": 0.0, "atol": 0.0}
    for ours, of_torch, again in zip(straight, theirs, resumed, strict=True):
        torch.testing.assert_close(ours, of_torch, **within)
        assert torch.equal(ours, again)
