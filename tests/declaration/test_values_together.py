"""Values that don't go together are refused wherever values are checked, and nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

import optkit
from optkit_core import Elementwise, HyperparameterError, at_least, hyperparameter


class Between(Elementwise):
    """Descent by a step between two bounds."""

    low: float = hyperparameter(default=0.1, range=at_least(0.0))
    high: float = hyperparameter(default=0.2, range=at_least(0.0))

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g, alpha=(h.low + h.high) / 2)

    @classmethod
    def values_complaint(cls, values: Mapping[str, Any]) -> str:
        return "" if values["low"] < values["high"] else "low must be below high."


def parameter() -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    return p


def test_at_construction_for_groups_and_for_the_checked_class() -> None:
    optimizer = Between([parameter()])
    for make in (
        lambda: Between([parameter()], low=0.3),
        lambda: Between([{"params": [parameter()], "high": 0.05}]),
        lambda: optimizer.add_param_group({"params": [parameter()], "low": 0.3}),
        lambda: Between.Hyperparameters(low=0.3),
    ):
        with pytest.raises(HyperparameterError, match=r"^low must be below high\.$"):
            make()
    assert len(optimizer.param_groups) == 1
    assert Between.Hyperparameters(low=0.3, high=0.4).high == 0.4


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("implementation", ["forloop", "foreach", "fused"])
def test_when_a_group_changes(implementation: str, stepped: bool) -> None:
    p = parameter()
    optimizer = Between([p], implementation=implementation)
    if stepped:
        optimizer.step()
    before = p.detach().clone()
    optimizer.param_groups[0]["low"] = 0.3
    with pytest.raises(HyperparameterError, match="low must be below high"):
        optimizer.step()
    assert torch.equal(p, before)
    optimizer.param_groups[0]["high"] = 0.5
    optimizer.step()
    assert torch.allclose(p, before - 0.4)


def test_what_a_checkpoint_brings() -> None:
    source, target = Between([parameter()], low=0.3, high=0.4), Between([parameter()])
    saved = source.state_dict()
    saved["param_groups"][0]["high"] = 0.2
    with pytest.raises(optkit.CheckpointError, match="saved group 0: low must be below high"):
        target.load_state_dict(saved)
    assert target.param_groups[0]["low"] == 0.1
    saved["param_groups"][0]["low"] = "many"
    with pytest.raises(optkit.CheckpointError, match="low must be a number"):
        target.load_state_dict(saved)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sgd", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        ("sgd", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "no dampening, got mom"),
        ("rprop", {"etas": (0.5, 0.9)}, "Invalid eta values: 0.5, 0.9"),
        ("adam", {"betas": (0.9, torch.tensor(0.9))}, "either both floats or both Tensors"),
        ("adamw", {"lr": torch.tensor(0.9), "foreach": True}, "lr as a Tensor is not supported"),
    ],
    ids=str,
)
def test_those_of_torch(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(HyperparameterError, match=words):
        optkit.create(name, [parameter()], **options)


@pytest.mark.parametrize("implementation", ["forloop", "foreach", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_betas_that_are_tensors_are_numbers_of_now(dtype: torch.dtype, implementation: str) -> None:
    ends = []
    for betas in ((0.5, 0.75), (torch.tensor([0.5]), torch.tensor([[0.75]]))):
        p = torch.nn.Parameter(torch.ones((), dtype=dtype))
        optimizer = optkit.create("adam", [p], betas=betas, implementation=implementation)
        for number in range(4):
            p.grad = torch.full((), 1.0 + number, dtype=dtype)
            optimizer.step()
            if number == 1 and isinstance(betas[0], torch.Tensor):
                betas[0].fill_(0.25)
            elif number == 1:
                optimizer.param_groups[0]["betas"] = (0.25, 0.75)
        ends.append(p.detach())
    assert torch.equal(*ends)
