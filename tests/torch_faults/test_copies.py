"""Faults of torch.optim with copies and pickles; the numbers are those of `torch_faults.FAULTS`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import thirdparty
import torch
from algorithms import TORCH
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
@pytest.mark.parametrize("name", TORCH)
def test_fault_17_a_copy_loses_its_hooks(name: str, duplicate: Duplicate) -> None:
    assert_in_torch(17, hooked(TORCH[name]([parameter()]), duplicate) == [])
    assert hooked(optkit.get(name)([parameter()]), duplicate) == ["first", "second"]


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
