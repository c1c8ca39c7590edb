"""Faults of torch.optim with groups; the numbers are those of `torch_faults.FAULTS`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_faults import assert_in_torch

import optkit


def parameter() -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.linspace(-1.0, 2.0, 37))
    p.grad = torch.ones_like(p)
    return p


def test_fault_9_adagrad_ignores_a_groups_initial_accumulator_value() -> None:
    def start(make: Any) -> float:
        p = parameter()
        optimizer = make([{"params": [p], "initial_accumulator_value": 4.0}])
        value: float = optimizer.state[p]["sum"][0].item()
        return value

    assert_in_torch(9, start(torch.optim.Adagrad) == 0.0)
    assert start(optkit.get("adagrad")) == 4.0


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"lrr": 3.0}, "Did you mean 'lr'"),
        ({"lr": -3.0}, r"lr must be .*got -3\.0"),
        ({"betas": (0.9, 2.0)}, r"betas\[1\] must be .*got 2\.0"),
    ],
    ids=["typo", "negative lr", "betas of 2"],
)
@pytest.mark.parametrize("added", [False, True], ids=["constructed", "added"])
def test_fault_11_a_wrong_group_is_accepted(
    added: bool, option: dict[str, Any], words: str
) -> None:
    def grouped(make: Any) -> Any:
        groups = [{"params": [parameter()]}, {"params": [parameter()], **option}]
        optimizer = make(groups[:1] if added else groups)
        if added:
            optimizer.add_param_group(groups[1])
        return optimizer.param_groups[1]

    assert_in_torch(11, option.items() <= grouped(torch.optim.Adamax).items())
    with pytest.raises(optkit.HyperparameterError, match=words):
        grouped(optkit.get("adamax"))
