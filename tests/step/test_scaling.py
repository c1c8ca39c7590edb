"""GradScaler on every implementation: unscaled gradients, and steps skipped whole."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from algorithms import REPRESENTATIVES, declared

import optkit
import optkit_core

IMPLEMENTATIONS = ["forloop", "foreach", "fused"]
SIZES = [(1,), (67,), (33, 5)]


def parameters(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in SIZES]


def scaler_in_use() -> torch.amp.GradScaler:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(torch.ones(1))
    return scaler


def give_gradients(params: Any, step: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) * scale


def snapshot(optimizer: Any) -> Any:
    params = [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
    return params, copy.deepcopy(list(optimizer.state.values()))


def assert_same(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_one_inf_gradient_skips_the_whole_step(
    name: str, implementation: str, dtype: torch.dtype
) -> None:
    params, plain = parameters(dtype), parameters(dtype)
    options = {"implementation": implementation, **declared(name, lr=0.01, eps=1e-4)}
    optimizer = optkit.create(name, params, **options)
    reference = optkit.create(name, plain, **options)
    scaler = scaler_in_use()
    for step in range(6):
        give_gradients(params, step, scaler.get_scale())
        give_gradients(plain, step, 1.0)
        if step == 3:
            params[1].grad[5] = float("inf")
            before = snapshot(optimizer)
            given = [p.grad.clone() for p in params]
        scaler.step(optimizer)
        scaler.update()
        if step == 3:
            assert_same(snapshot(optimizer), before)
            assert_same([p.grad for p in params], given)
        else:
            reference.step()
    assert_same(snapshot(optimizer), snapshot(reference))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_gradients_that_were_unscaled_before_are_taken_as_they_are(
    name: str, implementation: str
) -> None:
    params, plain = parameters(torch.float32), parameters(torch.float32)
    optimizer = optkit.create(name, params, implementation=implementation)
    reference = optkit.create(name, plain, implementation=implementation)
    scaler = scaler_in_use()
    give_gradients(params, 0, scaler.get_scale())
    give_gradients(plain, 0, 1.0)
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(params, 0.5)
    torch.nn.utils.clip_grad_norm_(plain, 0.5)
    scaler.step(optimizer)
    reference.step()
    assert_same(snapshot(optimizer), snapshot(reference))


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_maximize_turns_the_sign_of_scaled_gradients(name: str) -> None:
    results = []
    for implementation in IMPLEMENTATIONS:
        params = parameters(torch.float32)
        optimizer = optkit.create(name, params, implementation=implementation, maximize=True)
        scaler = scaler_in_use()
        give_gradients(params, 0, scaler.get_scale())
        scaler.step(optimizer)
        results.append([p.detach() for p in params])
    for found in results[1:]:
        torch.testing.assert_close(found, results[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_hooks_see_that_a_step_was_skipped(name: str) -> None:
    seen: list[bool] = []

    class Watch:
        @optkit_core.hookimpl
        def optkit_after_step(self, optimizer: Any, loss: Any, skipped: Any) -> None:
            seen.append(skipped)

    params = parameters(torch.float32)
    optimizer = optkit.create(name, params)
    scaler = scaler_in_use()
    optkit_core.register_plugin(Watch(), "watch")
    try:
        for inf in (False, True, False):
            give_gradients(params, 0, scaler.get_scale())
            if inf:
                params[0].grad.fill_(float("inf"))
            scaler.step(optimizer)
            scaler.update()
        optimizer.step()
    finally:
        optkit_core.unregister_plugin("watch")
    assert seen == [False, True, False, False]
