"""A step that nobody observes opens no profiler record; each kind of observer is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import optimizer as optimizers

import optkit

REGISTER: list[Callable[[Any, Any], Any]] = [
    lambda optimizer, hook: optimizer.register_step_pre_hook(hook),
    lambda optimizer, hook: optimizer.register_step_post_hook(hook),
    lambda _, hook: optimizers.register_optimizer_step_pre_hook(hook),
    lambda _, hook: optimizers.register_optimizer_step_post_hook(hook),
]


@pytest.fixture
def optimizer() -> Any:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    return optkit.create("adamax", [p])


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the records that are opened."""
    opened: list[str] = []
    record = torch.autograd.profiler.record_function
    monkeypatch.setattr(
        torch.autograd.profiler,
        "record_function",
        lambda name: (opened.append(name), record(name))[1],
    )
    return opened


def test_a_step_that_nobody_observes_opens_no_record(optimizer: Any, records: list[str]) -> None:
    optimizer.step()
    assert records == []


@pytest.mark.parametrize("register", REGISTER, ids=["pre", "post", "global pre", "global post"])
def test_one_hook_alone_is_called(
    optimizer: Any, records: list[str], register: Callable[[Any, Any], Any]
) -> None:
    calls: list[Any] = []
    with register(optimizer, lambda *arguments: calls.append(arguments[0])):
        optimizer.step()
    optimizer.step()
    assert calls == [optimizer]
    assert records == ["Optimizer.step#Adamax.step"]


def test_a_profiler_alone_sees_the_step(optimizer: Any, records: list[str]) -> None:
    with torch.profiler.profile(acc_events=True):
        optimizer.step()
    assert records == ["Optimizer.step#Adamax.step"]
