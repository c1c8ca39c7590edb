"""The schedule: by its name, after a warm-up, and with wrong arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optkit


def optimizer() -> torch.optim.Optimizer:
    return optkit.create("sgd", [torch.nn.Parameter(torch.zeros(2))], lr=1.0)


def rates(steps: int, **arguments: Any) -> list[float]:
    """Return the rates of so many steps."""
    stepped = optimizer()
    schedule = optkit.create_schedule("stable_decay", stepped, **arguments)
    found = []
    for _ in range(steps):
        found.append(stepped.param_groups[0]["lr"])
        stepped.step()
        schedule.step()
    return found


def test_it_stays_and_falls() -> None:
    found = rates(11, total_steps=10, decay_share=0.4)
    assert found == pytest.approx([1.0] * 7 + [0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0.0])


def test_it_warms_up() -> None:
    found = rates(6, total_steps=100, warmup=4)
    assert found[0] < found[1] < found[2] < found[3] < found[4] == found[5] == 1.0


@pytest.mark.parametrize("wrong", [{"total_steps": 0}, {"total_steps": 9, "decay_share": 0.0}])
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(wrong))):
        optkit.create_schedule("stable_decay", optimizer(), **wrong)
