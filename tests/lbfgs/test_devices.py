"""L-BFGS over two devices: the CPU and a GPU, or torch's lazy device, which any machine has."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch._lazy.ts_backend
from torch import Tensor
from torch.nn import Parameter

import optkit

SECOND = "cuda" if torch.cuda.is_available() else "lazy"


@pytest.fixture(scope="module", autouse=True)
def second_device() -> None:
    if SECOND == "lazy":
        torch._lazy.ts_backend.init()


def parameters(*devices: str) -> list[Parameter]:
    """Return the same parameters as always, on these devices in turn."""
    generator = torch.Generator().manual_seed(4)
    shapes = [(40,), (7, 9), (3,), (5, 2)]
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [Parameter(v.to(devices[i % len(devices)])) for i, v in enumerate(values)]


def loss_of(params: list[Parameter]) -> Tensor:
    """Return a loss in which all parameters have to do with each other."""
    x = torch.cat([p.cpu().reshape(-1) for p in params])
    valleys = 10 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()
    return valleys.sum()


def closure_of(optimizer: Any, params: list[Parameter]) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(params)
        loss.backward()
        return loss

    return closure


def steps(params: list[Parameter], optimizer: Any, number: int) -> list[Any]:
    """Take some steps; return what came of each."""
    results = []
    for _ in range(number):
        optimizer.step(closure_of(optimizer, params))
        results.append(optimizer.result)
    return results


def assert_same(found: list[Parameter], wanted: list[Parameter]) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.detach().cpu(), other.detach().cpu(), rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "storage", "search"),
    [
        (("cpu", SECOND), None, "hager_zhang"),
        ((SECOND, "cpu"), "flat", "strong_wolfe"),
        (("cpu", SECOND), "foreach", None),
        (("cpu", SECOND), "forloop", "hager_zhang"),
        ((SECOND,), "flat", "strong_wolfe"),
    ],
    ids=str,
)
def test_two_devices_take_the_way_of_one(
    devices: tuple[str, ...], storage: str | None, search: str | None
) -> None:
    reached, told = [], []
    for places in (devices, ("cpu",)):
        params = parameters(*places)
        optimizer = optkit.create(
            "lbfgs", params, lr=1.0 if search else 0.01, line_search_fn=search, max_iter=3,
            history_size=2, implementation=storage,
        )  # fmt: skip
        told.append(steps(params, optimizer, 2))
        reached.append(params)
    assert_same(*reached)
    for found, wanted in zip(*told, strict=True):
        assert (found.reason, found.iterations, found.evaluations) == (
            wanted.reason, wanted.iterations, wanted.evaluations,
        )  # fmt: skip
        assert found.loss == pytest.approx(wanted.loss)


def test_each_device_is_chosen_for_and_told_of() -> None:
    told = str(optkit.create("lbfgs", parameters("cpu", SECOND)).explain()).splitlines()
    rows = [line.split() for line in told if line.startswith("0 ")]
    assert [(row[1], row[6]) for row in rows] == [("cpu", "fused"), (f"{SECOND}:0", "flat")]


@pytest.mark.slow
@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.3)], ids=str)
def test_groups_may_lie_on_different_devices(rates: tuple[float, float]) -> None:
    reached = []
    for places in (("cpu", SECOND), ("cpu",)):
        params = parameters(*places)
        groups = [{"params": params[i::2], "lr": rates[i]} for i in range(2)]
        optimizer = optkit.create("lbfgs", groups, line_search_fn="hager_zhang", max_iter=4)
        steps(params, optimizer, 2)
        reached.append(params)
    assert_same(*reached)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [(("cpu", SECOND), ("cpu",)), (("cpu",), ("cpu", SECOND))])
def test_a_checkpoint_goes_from_one_set_of_devices_to_another(
    devices: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    before, after = devices
    params = parameters(*before)
    optimizer = optkit.create("lbfgs", params, line_search_fn="hager_zhang", max_iter=3)
    steps(params, optimizer, 2)
    others = parameters(*after)
    for other, p in zip(others, params, strict=True):
        other.data = p.detach().cpu().clone().to(other.device)
    again = optkit.create("lbfgs", others, line_search_fn="hager_zhang", max_iter=3)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(params, optimizer, 1)
    steps(others, again, 1)
    assert_same(others, params)
    assert again.result.evaluations == optimizer.result.evaluations


@pytest.mark.parametrize("call", [1, 2, 5])
def test_an_exception_restores_the_parameters_on_both(call: int) -> None:
    params = parameters("cpu", SECOND)
    optimizer = optkit.create("lbfgs", params, line_search_fn="hager_zhang", lr=50.0, max_iter=1)
    steps(params, optimizer, 1)
    before = [p.detach().cpu().clone() for p in params]
    plain, calls = closure_of(optimizer, params), [0]

    def closure() -> Tensor:
        calls[0] += 1
        if calls[0] == call:
            raise ArithmeticError
        return plain()

    optimizer.param_groups[0].update(max_iter=1, max_eval=50, tolerance_change=0.0)
    try:
        optimizer.step(closure)
    except ArithmeticError:
        for p, value in zip(params, before, strict=True):
            assert torch.equal(p.detach().cpu(), value)
    else:
        assert calls[0] < call
