"""Faults of torch.optim that optkit must not have: each is shown on torch, then not found here.

A test is named after the fault's number in the project's list and what goes wrong.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import thirdparty
import torch
from torch_faults import as_in_torch, assert_in_torch

import optkit

COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}
each_copy = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
Duplicate = Callable[[Any], Any]


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


@each_copy
def test_fault_16_a_pickle_loses_the_flag_for_a_scaler(duplicate: Duplicate) -> None:
    def flag(optimizer: Any) -> bool:
        assert optimizer._step_supports_amp_scaling
        return getattr(duplicate(optimizer), "_step_supports_amp_scaling", False)

    assert_in_torch(16, not flag(torch.optim.Adam([parameter()], fused=True)))
    assert flag(thirdparty.Scaled([parameter()]))


def hooked(optimizer: Any, duplicate: Duplicate) -> list[str]:
    """Return which hooks a copy of the optimizer still has."""
    optimizer.register_step_pre_hook(thirdparty.first)
    optimizer.register_step_post_hook(thirdparty.second)
    thirdparty.CALLS.clear()
    twin = duplicate(optimizer)
    twin.step()
    return [what for what, seen in thirdparty.CALLS if seen is twin]


@each_copy
@pytest.mark.parametrize("name", ["Adagrad", "Adamax"])
def test_fault_17_a_copy_loses_its_hooks(name: str, duplicate: Duplicate) -> None:
    assert_in_torch(17, hooked(getattr(torch.optim, name)([parameter()]), duplicate) == [])
    assert hooked(optkit.get(name)([parameter()]), duplicate) == ["first", "second"]


@each_copy
def test_fault_17_a_copy_of_lbfgs_cannot_step(duplicate: Duplicate) -> None:
    def stepped(make: Any) -> torch.Tensor:
        twin = duplicate(make([parameter()]))
        (p,) = twin.param_groups[0]["params"]
        before = p.detach().clone()

        def closure() -> torch.Tensor:
            twin.zero_grad()
            loss = p.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        twin.step(closure)
        return p.detach() - before

    with as_in_torch(17, pytest.raises(AttributeError, match="_params")):
        stepped(torch.optim.LBFGS)
    assert stepped(optkit.get("lbfgs")).abs().sum() > 0


@each_copy
def test_fault_17_a_copy_loses_the_attributes_of_its_class(duplicate: Duplicate) -> None:
    def stepped(make: Any) -> tuple[int, int]:
        optimizer = make([parameter()])
        optimizer.step()
        twin = duplicate(optimizer)
        for p in twin.param_groups[0]["params"]:
            p.grad = torch.ones_like(p)
        twin.step()
        return optimizer.steps, twin.steps

    with as_in_torch(17, pytest.raises(AttributeError, match="steps")):
        stepped(thirdparty.TorchLookahead)
    assert stepped(thirdparty.Lookahead) == (1, 2)


@each_copy
def test_fault_17_a_copied_scheduler_warns_of_a_step_that_was_taken(duplicate: Duplicate) -> None:
    def scheduled(optimizer: Any) -> None:
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        twin, twins_schedule = duplicate((optimizer, schedule))
        twin.step()
        twins_schedule.step()

    told = "overridden after learning rate scheduler"
    with as_in_torch(17, pytest.warns(UserWarning, match=told)):
        scheduled(torch.optim.Adamax([parameter()]))
    scheduled(optkit.create("adamax", [parameter()]))
