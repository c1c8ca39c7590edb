"""Muon beside torch.optim's: the same bits, over shapes, dtypes, groups and checkpoints."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import optkit
from optkit_core import CheckpointError, HyperparameterError
from optkit_core.testing import assert_agree
from optkit_plugins.muon import Muon, orthogonalized

STEPS = 25
SHAPES = [(40, 7), (7, 40), (16, 16), (1, 9), (9, 1), (1, 1), (16, 16), (0, 4), (7, 40)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "rate of a tensor": {"lr": torch.tensor(0.01)},
    "plain momentum": {"momentum": 0.8, "nesterov": False},
    "no decay": {"weight_decay": 0.0, "lr": 0.1},
    "another polynomial": {"ns_coefficients": (3.4, -4.7, 2.0), "ns_steps": 6, "eps": 1e-3},
    "no steps": {"ns_steps": 0},
    "as AdamW": {"adjust_lr_fn": "match_rms_adamw"},
    "as published": {"adjust_lr_fn": "original", "lr": 0.1},
}


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in SHAPES]
    params[6] = params[6].t()
    return params


def give(params: list[Tensor], number: int) -> None:
    """Give gradients; some are missing, one is zero, and one lies otherwise than its parameter."""
    generator = torch.Generator().manual_seed(1 + number)
    for position, p in enumerate(params):
        g = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        g = g * 0 if (number, position) == (5, 2) else g
        missing = (number + position) % 6 == 5
        p.grad = None if missing else g.t().contiguous().t() if position == 1 else g


def take(optimizer: Any, numbers: range) -> list[Tensor]:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for number in numbers:
        give(params, number)
        optimizer.step()
    return params


def assert_same_bits(ours: Any, theirs: Any) -> None:
    mine, other = params_of(ours), params_of(theirs)
    for p, q in zip(mine, other, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)
        assert ours.state.get(p, {}).keys() == theirs.state.get(q, {}).keys()
        for key, value in theirs.state.get(q, {}).items():
            torch.testing.assert_close(ours.state[p][key], value, rtol=0, atol=0)


def params_of(optimizer: Any) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_the_for_loop_has_torchs_bits(options: Any, dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not options.get("nesterov", True):
        pytest.skip("torch divides the momentum itself by its norm")
    ours = Muon(parameters(dtype), implementation="forloop", **options)
    theirs = torch.optim.Muon(parameters(dtype), **options)
    for number in range(STEPS):
        take(ours, range(number, number + 1))
        take(theirs, range(number, number + 1))
        assert_same_bits(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_foreach_agrees_with_the_for_loop(options: Any, dtype: torch.dtype) -> None:
    """As far as bfloat16 goes, in which both compute; momenta are equal."""
    ours, other = (
        Muon(parameters(dtype), implementation=implementation, **options)
        for implementation in ("foreach", "forloop")
    )
    mine, theirs = take(ours, range(STEPS)), take(other, range(STEPS))
    assert {choice.name for choice in ours.plan} == {"foreach"}
    rate = float(options.get("lr", 1e-3))
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=torch.finfo(dtype).eps, atol=rate * STEPS * 4e-3)
        assert_agree([ours.state[p]["momentum_buffer"]], [other.state[q]["momentum_buffer"]])


def test_groups_step_with_values_of_their_own() -> None:
    def groups() -> list[dict[str, Any]]:
        params = parameters()[:6]
        return [
            {"params": params[:3], "lr": 0.5, "nesterov": False},
            {"params": params[3:], "momentum": 0.5, "adjust_lr_fn": "match_rms_adamw"},
        ]

    ours, theirs = Muon(groups(), implementation="forloop"), torch.optim.Muon(groups())
    take(ours, range(STEPS))
    take(theirs, range(STEPS))
    assert_same_bits(ours, theirs)


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_checkpoints_go_both_ways_in_the_middle_of_a_run(implementation: str) -> None:
    def made(cls: Any, **options: Any) -> Any:
        return cls(parameters()[:6], lr=0.1, momentum=0.9, **options)

    half, rest = range(8), range(8, 20)
    whole = made(torch.optim.Muon)
    wanted = take(whole, range(20))
    ours, theirs = made(Muon, implementation=implementation), made(torch.optim.Muon)
    for source, target in ((ours, made(torch.optim.Muon)), (theirs, made(Muon))):
        placed = take(source, half)
        for p, q in zip(params_of(target), placed, strict=True):
            p.copy_(q)
        target.load_state_dict(copy.deepcopy(source.state_dict()))
        assert target.param_groups[0]["momentum"] == 0.9
        torch.testing.assert_close(take(target, rest), wanted, rtol=0, atol=1e-3)


def test_another_shape_of_a_momentum_is_refused_by_name() -> None:
    source, target = Muon([torch.zeros(2, 3)]), Muon([torch.zeros(3, 2)])
    take(source, range(1))
    with pytest.raises(CheckpointError, match="momentum_buffer"):
        target.load_state_dict(source.state_dict())


def test_it_counts_no_steps_and_leaves_momenta_of_half_precision_alone() -> None:
    """torch divides a bfloat16 momentum by its norm where it doesn't look ahead."""
    p = torch.ones(2, 2, dtype=torch.bfloat16)
    p.grad = 4 * torch.ones_like(p)
    optimizer = Muon([p], momentum=0.5, nesterov=False)
    optimizer.step()
    assert optimizer.state[p].keys() == {"momentum_buffer"}
    assert torch.equal(optimizer.state[p]["momentum_buffer"], 2 * torch.ones_like(p))


def test_singular_values_become_about_one() -> None:
    x = torch.randn(3, 12, 30, generator=torch.Generator().manual_seed(0))
    for u in (x, x.mT, x[0]):
        made = orthogonalized(u, (3.4445, -4.775, 2.0315), 5, 1e-7)
        assert made.shape == u.shape and made.dtype == torch.bfloat16
        values = torch.linalg.svdvals(made.float())
        assert values.min() > 0.6 and values.max() < 1.3


def test_a_matrix_without_columns_and_one_of_zeros() -> None:
    empty, zero = torch.zeros(3, 0), torch.ones(2, 2)
    empty.grad, zero.grad = torch.zeros(3, 0), torch.zeros(2, 2)
    Muon([empty, zero], lr=0.5).step()
    assert torch.equal(zero, torch.full((2, 2), 0.95))


def test_a_scheduler_changes_the_rate() -> None:
    ends = []
    for cls, options in ((Muon, {"implementation": "forloop"}), (torch.optim.Muon, {})):
        optimizer = cls(parameters()[:6], lr=0.5, **options)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        for number in range(6):
            take(optimizer, range(number, number + 1))
            scheduler.step()
        ends.append(params_of(optimizer))
    torch.testing.assert_close(*ends, rtol=0, atol=0)


def test_ascending_is_descending_along_turned_gradients() -> None:
    up, down = Muon(parameters(), maximize=True), Muon(parameters())
    for number in range(4):
        take(up, range(number, number + 1))
        give(params_of(down), number)
        for p in params_of(down):
            p.grad = None if p.grad is None else -p.grad
        down.step()
    torch.testing.assert_close(params_of(up), params_of(down), rtol=0, atol=0)


def test_what_cannot_be_is_refused_with_torchs_words() -> None:
    words = "must be one of None.*got 'x'.*Adjust learning rate function x is not supported"
    with pytest.raises(HyperparameterError, match=words):
        optkit.create("muon", parameters(), adjust_lr_fn="x")
    with pytest.raises(HyperparameterError, match="ns_coefficients must be 3 values"):
        Muon(parameters(), ns_coefficients=(1.0, 2.0))
