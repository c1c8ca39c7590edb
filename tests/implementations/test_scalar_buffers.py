"""Scalar buffers: numbers of a parameter that bodies read and assign, in every implementation."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from algorithms import TORCH, WITH_SCALARS
from problems import copies, gradients, parameters
from torch import Tensor

import optkit
from optkit_core import Buffer, Elementwise, at_least, hyperparameter, scalar_math
from optkit_core.implementations import step_counters
from optkit_core.native import tensor_reader_loader
from optkit_core.testing import assert_agree

IMPLEMENTATIONS = ["forloop", "foreach", "fused"]
STEPS = 12


class Accumulating(Elementwise):
    """Averages by weights that depend on everything a scalar buffer can depend on."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))
    power: float = hyperparameter(default=2.0, range=at_least(0.0))
    start: float = hyperparameter(default=3.0, range=at_least(0.0))

    weight_sum = Buffer(kind="scalar", dtype=torch.float64)
    lr_max = Buffer(kind="scalar", dtype=torch.float32)
    last_sum = Buffer(kind="scalar", init="start", dtype=torch.float64)
    mean = Buffer()

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        before = s.weight_sum
        s.last_sum = before
        s.lr_max = scalar_math.maximum(s.lr_max, h.lr * scalar_math.minimum(1, t / h.start))
        weight = scalar_math.sqrt(t) * s.lr_max**h.power + scalar_math.log(1 + t)
        s.weight_sum += weight
        s.mean.lerp_(g, weight / s.weight_sum)
        p.sub_(s.mean, alpha=s.lr_max * scalar_math.exp(-before / (1 + s.weight_sum)))


def reference(params: list[Tensor], grads: list[list[Any]], **h: float) -> list[np.ndarray]:
    """Return the parameters as NumPy computes them, in float64."""
    values = [p.detach().double().numpy().copy() for p in params]
    means = [np.zeros_like(value) for value in values]
    scalars = [[0, 0.0, 0.0] for _ in values]
    for step in grads:
        for i, g in enumerate(step):
            if g is None:
                continue
            t, total, largest = scalars[i][0] + 1, scalars[i][1], scalars[i][2]
            largest = float(np.float32(max(largest, h["lr"] * min(1, t / h["start"]))))
            weight = math.sqrt(t) * largest ** h["power"] + math.log(1 + t)
            means[i] += weight / (total + weight) * (g.double().numpy() - means[i])
            values[i] -= largest * math.exp(-total / (1 + total + weight)) * means[i]
            scalars[i] = [t, total + weight, largest]
    return values


def stepped(optimizer: Any, params: list[Any], grads: Any) -> Iterator[None]:
    for step in grads:
        for p, g in zip(params, step, strict=True):
            p.grad = g
        optimizer.step()
        yield


def run(optimizer: Any, params: list[Any], grads: Any) -> None:
    for _ in stepped(optimizer, params, grads):
        pass


def assert_same_state(
    ours: Any, theirs: Any, mine: list[Any], others: list[Any], dtype: torch.dtype | None = None
) -> None:
    for p, q in zip(mine, others, strict=True):
        wanted = theirs.state[q]
        assert ours.state[p].keys() == wanted.keys()
        for key in ours.state[p]:
            assert_agree([ours.state[p][key]], [wanted[key].to(ours.state[p][key].dtype)], dtype)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_numpy_has_the_same_numbers(implementation: str) -> None:
    """Gradients are missing in turn, so that no two parameters have the same scalars."""
    params = parameters(torch.float64)
    grads = list(gradients(params, 25))
    options = {"lr": 0.05, "power": 2.0, "start": 7.0}
    wanted = reference(params, grads, **options)
    run(Accumulating(params, implementation=implementation, **options), params, grads)
    for p, value in zip(params, wanted, strict=True):
        torch.testing.assert_close(p.detach(), torch.from_numpy(value), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("implementation", ["foreach", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=str)
def test_scalars_are_the_forloops_bit_for_bit(dtype: torch.dtype, implementation: str) -> None:
    mine, others = parameters(dtype), parameters(dtype)
    ours = Accumulating(mine, implementation=implementation)
    theirs = Accumulating(others, implementation="forloop")
    grads = list(gradients(mine, STEPS))
    for _ in zip(stepped(ours, mine, grads), stepped(theirs, others, grads), strict=True):
        for p, q in zip(mine, others, strict=True):
            for name in ("step", "weight_sum", "lr_max", "last_sum"):
                a, b = ours.state[p].get(name), theirs.state[q].get(name)
                assert a is b is None or torch.equal(a, b)
        assert_agree(mine, others)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_scalars_of_half_types_are_rounded_alike(dtype: torch.dtype) -> None:
    class Rounded(Accumulating):
        weight_sum = Buffer(kind="scalar", dtype=dtype)

    results = []
    for implementation in IMPLEMENTATIONS:
        params = parameters(torch.float32)
        optimizer = Rounded(params, implementation=implementation)
        run(optimizer, params, gradients(params, STEPS))
        results.append([optimizer.state[p]["weight_sum"] for p in params])
        assert {number.dtype for number in results[-1]} == {dtype}
        assert {choice.name for choice in optimizer.plan} == {implementation}
    assert all(
        torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True)
    )


@pytest.mark.parametrize("native", [True, False])
def test_a_changed_scalar_is_noticed(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number, as after loading; its tensor; and its dtype."""
    if not native:
        monkeypatch.setattr(tensor_reader_loader, "reader", lambda: None)

    def changed(state: Any, step: int) -> None:
        if step == 3:
            state["weight_sum"].fill_(5.0)
        elif step == 5:
            state["weight_sum"] = torch.tensor(0.5, dtype=torch.float64)
        elif step == 7:
            state["lr_max"] = torch.tensor(0.3, dtype=torch.float64)

    results = []
    for implementation in IMPLEMENTATIONS:
        params = parameters(torch.float64)
        optimizer = Accumulating(params, implementation=implementation)
        grads = gradients(params, 10)
        for step, _ in enumerate(stepped(optimizer, params, grads)):
            changed(optimizer.state[params[3]], step)
        results.append((params, [optimizer.state[p]["lr_max"] for p in params]))
    for params, numbers in results[1:]:
        assert_agree(params, results[0][0])
        assert all(map(torch.equal, numbers, results[0][1]))


class Deep(Elementwise):
    """Takes another branch as a scalar of its own grows, and one that no recording can follow."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    total = Buffer(kind="scalar", dtype=torch.float32)

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        s.total += 0.1 * t
        if s.total > 1:
            p.mul_(0.9)
            s.total -= 0.5
        if s.total > 2:
            p.sub_(g, alpha=h.lr * math.sqrt(s.total))
        else:
            p.sub_(g, alpha=h.lr * s.total)


def test_branches_on_scalars() -> None:
    results = []
    for implementation in IMPLEMENTATIONS:
        params = parameters(torch.float64)
        optimizer = Deep(params, implementation=implementation)
        run(optimizer, params, gradients(params, 25))
        assert {choice.name for choice in optimizer.plan} == {implementation}
        results.append((params, [optimizer.state[p]["total"].item() for p in params]))
    for params, totals in results[1:]:
        assert_agree(params, results[0][0])
        assert totals == results[0][1]
    assert len(set(results[0][1])) > 1


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_number_that_is_not_finite_is_kept(implementation: str) -> None:
    """Neither recorded nor refused: what the body computes is what the buffer holds."""

    class Growing(Elementwise):
        lr: float = hyperparameter(default=0.1, range=at_least(0.0))
        total = Buffer(kind="scalar", dtype=torch.float32, init=1.0)

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            s.total *= 1e30
            p.sub_(g, alpha=h.lr)

    params = parameters(torch.float32)
    optimizer = Growing(params, implementation=implementation)
    run(optimizer, params, gradients(params, 4))
    assert all(state["total"].item() == math.inf for state in optimizer.state.values())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_refused_step_assigns_nothing(implementation: str) -> None:
    params = parameters(torch.float32)
    optimizer = Accumulating(params, implementation=implementation)
    grads = list(gradients(params, 3))
    run(optimizer, params, grads[:2])
    before = [copy.deepcopy(dict(optimizer.state[p])) for p in params]
    scaled: Any = optimizer
    scaled.grad_scale, scaled.found_inf = torch.tensor(4.0), torch.tensor(1.0)
    run(optimizer, params, grads[2:])
    for p, state in zip(params, before, strict=True):
        assert all(torch.equal(optimizer.state[p][key], value) for key, value in state.items())


def test_what_is_assigned_in_a_body_is_a_number() -> None:
    class Wrong(Accumulating):
        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            s.mean = g

    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    with pytest.raises(AttributeError, match=r"s\.mean can't be assigned; update it in place"):
        Wrong([p], implementation="forloop").step()


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_a_number_that_was_read_stays_as_it_was(
    implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a device, where it is a tensor, and also when it has been assigned to another."""
    monkeypatch.setattr(step_counters, "CAPTURABLE_DEVICES", frozenset({"cpu"}))
    params = parameters(torch.float64)
    grads = list(gradients(params, 25))
    options = {"lr": 0.05, "power": 2.0, "start": 7.0}
    wanted = reference(params, grads, **options)
    optimizer = Accumulating(params, implementation=implementation, capturable=True, **options)
    run(optimizer, params, grads)
    for p, value in zip(params, wanted, strict=True):
        torch.testing.assert_close(p.detach(), torch.from_numpy(value), rtol=1e-6, atol=1e-8)
    state = optimizer.state[params[0]]
    assert 0 < state["last_sum"] < state["weight_sum"]


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", sorted(WITH_SCALARS & TORCH.keys()))
def test_numbers_on_the_device_change_nothing(
    name: str, implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a captured graph has them, with the CPU standing in for a device."""
    monkeypatch.setattr(step_counters, "CAPTURABLE_DEVICES", frozenset({"cpu"}))
    mine, others = parameters(torch.float64), parameters(torch.float64)
    ours = optkit.create(name, mine, implementation=implementation, capturable=True)
    theirs = optkit.create(name, others, implementation=implementation)
    grads = list(gradients(mine, STEPS))
    for _ in zip(stepped(ours, mine, grads), stepped(theirs, others, grads), strict=True):
        # There the numbers of float32 buffers are computed with in float32.
        assert_agree(mine, others, dtype=torch.float32)
    assert_same_state(ours, theirs, mine, others, torch.float32)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", sorted(WITH_SCALARS & TORCH.keys()))
def test_torch_goes_on_and_comes_back(name: str, implementation: str) -> None:
    """A run that changes hands between optkit and torch.optim is the run that doesn't."""
    options = {"t0": 4.0} if name == "asgd" else {"momentum_decay": 0.1}
    params = parameters(torch.float64)
    mine, others = copies(params), copies(params)
    whole = TORCH[name](others, foreach=False, **options)
    grads = list(gradients(params, 3 * STEPS))
    run(whole, others, grads)
    ours = optkit.create(name, mine, implementation=implementation, **options)
    run(ours, mine, grads[:STEPS])
    theirs = TORCH[name](mine, foreach=False, **options)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    run(theirs, mine, grads[STEPS : 2 * STEPS])
    again = optkit.create(name, mine, implementation=implementation, **options)
    again.load_state_dict(copy.deepcopy(theirs.state_dict()))
    run(again, mine, grads[2 * STEPS :])
    assert_agree(mine, others)
    # torch casts a loaded number to the parameter's dtype, and goes on in that.
    for p, q in zip(mine, others, strict=True):
        for key, value in whole.state[q].items():
            assert_agree([again.state[p][key].double()], [value.double()], torch.float32)


@pytest.mark.parametrize("name", sorted(WITH_SCALARS & TORCH.keys()))
def test_implementations_take_turns(name: str) -> None:
    params = parameters(torch.float64)
    mine, others = copies(params), copies(params)
    grads = list(gradients(params, 4 * STEPS))
    whole = optkit.create(name, others, implementation="forloop")
    run(whole, others, grads)
    optimizer: Any = None
    for turn, implementation in enumerate([*IMPLEMENTATIONS, "forloop"]):
        following = optkit.create(name, mine, implementation=implementation)
        if optimizer is not None:
            following.load_state_dict(optimizer.state_dict())
        optimizer = following
        run(optimizer, mine, grads[turn * STEPS : (turn + 1) * STEPS])
    assert_agree(mine, others)
    assert_same_state(optimizer, whole, mine, others)
