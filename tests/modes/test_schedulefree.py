"""Schedule-free SGD and AdamW beside the authors' package, and what their definition says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optkit
from optkit_core import HyperparameterError, testing

schedulefree = pytest.importorskip("schedulefree")

AUTHORS = {
    "schedulefree_sgd": schedulefree.SGDScheduleFree,
    "schedulefree_adamw": schedulefree.AdamWScheduleFree,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "warmup": {"lr": 0.05, "warmup_steps": 5, "weight_decay": 0.1},
    "weights": {"lr": 0.05, "r": 0.5, "weight_lr_power": 1.0},
    "no rate": {"lr": 0.0},
}
each_algorithm = pytest.mark.parametrize("name", AUTHORS)
each_options = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def parameters(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    torch.manual_seed(1)
    return [torch.nn.Parameter(torch.randn(n, 3, dtype=dtype)) for n in (1, 7, 40)]


def step(optimizers: Any, columns: Any) -> None:
    for row in zip(*columns, strict=True):
        gradient = torch.randn_like(row[0])
        for p in row:
            p.grad = gradient.clone()  # the authors' step changes it
    for optimizer in optimizers:
        optimizer.step()


@pytest.mark.parametrize("implementation", ["forloop", "foreach", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@each_options
@each_algorithm
def test_in_lock_step_with_the_authors_package(
    name: str, options: dict[str, Any], dtype: torch.dtype, implementation: str
) -> None:
    """Parameters in both modes, a changing rate, and z; the for-loop has the authors' bits."""
    mine, theirs = parameters(dtype), parameters(dtype)
    ours: Any = optkit.create(name, mine, implementation=implementation, **options)
    authors = AUTHORS[name](theirs, foreach=False, **options)
    authors.train()
    compare = torch.testing.assert_close if implementation == "forloop" else testing.assert_agree
    exact = {"rtol": 0, "atol": 0} if implementation == "forloop" else {}
    for number in range(25):
        step((ours, authors), (mine, theirs))
        compare(mine, theirs, **exact)
        if number % 7 == 3:
            for optimizer in (ours, authors):
                optimizer.eval()
            compare(mine, theirs, **exact)
            for optimizer in (ours, authors):
                optimizer.train()
                optimizer.param_groups[0]["lr"] *= 0.9
    for p, q in zip(mine, theirs, strict=True):
        compare([ours.state[p]["z"]], [authors.state[q]["z"]], **exact)
        assert ours.state[p]["weight_sum"].item() == authors.param_groups[0]["weight_sum"]
        assert ours.state[p]["lr_max"].item() == authors.param_groups[0]["lr_max"]


@pytest.mark.parametrize("mode", ["train", "eval"])
@each_algorithm
def test_the_authors_checkpoints_continue(name: str, mode: str) -> None:
    mine, theirs = parameters(torch.float64), parameters(torch.float64)
    options = {"lr": 0.05, "warmup_steps": 5, "weight_decay": 0.1}
    authors = AUTHORS[name](theirs, foreach=False, **options)
    authors.train()
    for _ in range(4):
        step((authors,), (theirs,))
    getattr(authors, mode)()
    ours: Any = optkit.create(name, mine, implementation="forloop")
    report = ours.load_state_dict(authors.state_dict())
    assert report.migrated == ("from schedulefree",)
    assert ours.param_groups[0]["train_mode"] == (mode == "train")
    for p, q in zip(mine, theirs, strict=True):
        p.data.copy_(q.data)
    for optimizer in (ours, authors):
        optimizer.train()
    for _ in range(4):
        step((ours, authors), (mine, theirs))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@each_algorithm
def test_in_eval_mode_parameters_are_the_mean_of_the_iterates(name: str) -> None:
    """With a constant rate and r = 0 all weights are equal: x is the plain mean of z."""
    mine = parameters(torch.float64)
    optimizer: Any = optkit.create(name, mine, lr=0.1)
    iterates: list[list[torch.Tensor]] = []
    for _ in range(8):
        step((optimizer,), (mine,))
        iterates.append([optimizer.state[p]["z"].clone() for p in mine])
    optimizer.eval()
    means = [torch.stack(column).mean(0) for column in zip(*iterates, strict=True)]
    testing.assert_agree(mine, means)


@pytest.mark.parametrize("capturable", [False, True])
@each_algorithm
def test_capturable_has_the_same_numbers(name: str, capturable: bool, monkeypatch: Any) -> None:
    """Numbers of the state stay tensors throughout; here the CPU stands in for a device."""
    from optkit_core.implementations import step_counters

    monkeypatch.setattr(step_counters, "CAPTURABLE_DEVICES", frozenset({"cpu"}))
    results = []
    for flag in (False, capturable):
        mine = parameters(torch.float64)
        optimizer: Any = optkit.create(
            name, mine, capturable=flag, lr=0.1, warmup_steps=4, implementation="foreach"
        )
        torch.manual_seed(5)
        for _ in range(8):
            step((optimizer,), (mine,))
        optimizer.eval()
        results.append(mine)
    testing.assert_agree(*results)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("schedulefree_sgd", {"momentum": 0.0}, "momentum must be above 0"),
        ("schedulefree_sgd", {"momentum": 1.0}, "momentum must be in"),
        ("schedulefree_adamw", {"betas": (0.0, 0.9)}, r"betas\[0\] must be above 0"),
        ("schedulefree_adamw", {"warmup_steps": -1}, "warmup_steps must be"),
        ("schedulefree_adamw", {"lr": -1.0}, "lr must be in"),
    ],
)
def test_wrong_values_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(HyperparameterError, match=words):
        optkit.create(name, [torch.ones(2)], **options)
