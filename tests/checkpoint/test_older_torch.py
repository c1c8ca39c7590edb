"""States that older releases of torch have saved, whose classes lacked a hyperparameter."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, TORCH

import optkit
from optkit_core import CheckpointError

LATER = [(name, key) for name, cls in ALGORITHMS.items() for key in cls.later_in_torch]


def stepped(optimizer: torch.optim.Optimizer, count: int) -> None:
    (p,) = optimizer.param_groups[0]["params"]
    for step in range(count):
        p.grad = torch.tensor([1.0, -2.0, 0.5]) * (step + 1) - p.detach()
        optimizer.step()


def saved_without(name: str, *keys: str) -> dict[str, Any]:
    optimizer = TORCH[name]([torch.nn.Parameter(torch.ones(3))], lr=0.1, weight_decay=0.3)
    stepped(optimizer, 3)
    state = copy.deepcopy(optimizer.state_dict())
    for key in keys:
        del state["param_groups"][0][key]
    return state


def test_classes_with_such_hyperparameters_are_found() -> None:
    assert len({name for name, _ in LATER}) >= 4


@pytest.mark.parametrize(("name", "key"), LATER)
def test_it_goes_on_as_torch_does(name: str, key: str) -> None:
    ends = []
    for cls, options in ((TORCH[name], {"foreach": False}), (optkit.get(name), {"foreach": False})):
        p = torch.nn.Parameter(torch.ones(3))
        optimizer = cls([p], **options)
        report = optimizer.load_state_dict(saved_without(name, key))
        stepped(optimizer, 3)
        ends.append((p.detach(), optimizer.param_groups[0][key]))
    assert report.migrated == (f"from torch before {key}",)
    torch.testing.assert_close(*ends, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "key"), LATER)
def test_what_was_given_stays_as_it_was(name: str, key: str) -> None:
    saved = saved_without(name, key)
    before = repr(saved)
    optkit.create(name, [torch.nn.Parameter(torch.ones(3))]).load_state_dict(saved)
    assert repr(saved) == before


def test_what_has_none_of_torchs_keys_may_be_of_any_program() -> None:
    flags = ("foreach", "maximize", "capturable", "differentiable")
    saved = saved_without("radam", "decoupled_weight_decay", *flags)
    optimizer = optkit.create("radam", [torch.nn.Parameter(torch.ones(3))])
    with pytest.raises(CheckpointError, match=r"isn't certain .* no decoupled_weight_decay"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("pair", ["nadam to adam", "radam to adam", "adam to radam"])
def test_that_of_another_algorithm_is_refused(pair: str) -> None:
    saver, loader = pair.split(" to ")
    saved = saved_without(saver, "decoupled_weight_decay")
    optimizer = optkit.create(loader, [torch.nn.Parameter(torch.ones(3))])
    with pytest.raises(CheckpointError, match="isn't certain"):
        optimizer.load_state_dict(saved)
