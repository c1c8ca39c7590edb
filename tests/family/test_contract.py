"""What code that was written for torch's class relies on: arguments, group keys, state, memory."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, COUNTERPARTS
from problems import gradients, set_gradients
from runnable import create, implementations
from torch_inputs import (
    DENSE,
    all_of_torch,
    groups,
    of_torch,
    options_of,
    params_of,
)

BY = [(name, by) for name in DENSE for by in implementations(name)]


def arguments(cls: Any, kind: Any) -> list[str]:
    """Return the names of a constructor's arguments of a kind."""
    return [a.name for a in inspect.signature(cls).parameters.values() if a.kind is kind]


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_arguments_are_torchs_and_more(name: str) -> None:
    """Whatever torch's class takes by position or by keyword, ours does too."""
    ours, theirs = ALGORITHMS[name], COUNTERPARTS[name]
    positional = arguments(theirs, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert arguments(ours, inspect.Parameter.POSITIONAL_OR_KEYWORD)[: len(positional)] == positional
    assert inspect.signature(theirs).parameters.keys() <= inspect.signature(ours).parameters.keys()


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_defaults_and_group_keys_are_torchs_and_more(name: str) -> None:
    ours, theirs = (cls([torch.ones(2, 2)]) for cls in (ALGORITHMS[name], COUNTERPARTS[name]))
    assert theirs.defaults.items() <= ours.defaults.items()
    assert theirs.param_groups[0].keys() <= ours.param_groups[0].keys()
    assert (
        theirs.state_dict()["param_groups"][0].keys() <= ours.state_dict()["param_groups"][0].keys()
    )


@pytest.mark.parametrize(("name", "implementation"), BY)
def test_state_is_torchs(name: str, implementation: str) -> None:
    """For each input its keys, their shapes and dtypes."""
    dtype = torch.bfloat16 if implementation != "fused" else torch.float32
    ours, theirs = create(name, groups(name, dtype), implementation), all_of_torch(name, dtype)
    mine, other = params_of(ours), params_of(*theirs)
    for grads in gradients(mine, 2):
        for params, optimizers in ((mine, (ours,)), (other, theirs)):
            set_gradients(params, grads)
            for optimizer in optimizers:
                optimizer.step()
    states = {p: state for optimizer in theirs for p, state in optimizer.state.items()}
    for p, q in zip(mine, other, strict=True):
        assert kinds(ours.state.get(p, {})) == kinds(states.get(q, {}))


def kinds(state: Any) -> dict[str, Any]:
    """Return what a state consists of; a counter may be wider than torch's."""
    return {
        key: (value.shape, None if key == "step" else value.dtype) for key, value in state.items()
    }


SIZE = 7919
"""A number of elements that no other tensor has: a prime."""


@pytest.fixture(scope="module")
def only_new_objects() -> Iterator[None]:
    """Hide all that exists from the collector, so that what comes is found quickly."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def live_tensors() -> int:
    """Return how many pieces of memory of that size exist, whoever holds them."""
    tensors = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
    return len({x.untyped_storage().data_ptr() for x in tensors if x.numel() == SIZE})


def held_after_two_steps(make: Callable[[Any], Any]) -> int:
    before = live_tensors()
    p = torch.nn.Parameter(torch.ones(1, SIZE))
    optimizer = make([p])
    for _ in range(2):
        p.grad = torch.ones(1, SIZE)
        optimizer.step()
    p.grad = None
    return live_tensors() - before - 1


@pytest.mark.usefixtures("only_new_objects")
@pytest.mark.parametrize(("name", "implementation"), BY)
def test_memory_is_torchs(name: str, implementation: str) -> None:
    """Between steps, for each input, wherever it is kept: plain SGD has none."""
    for options in options_of(name, torch.float32):
        by = {"implementation": implementation}
        ours, theirs = (
            held_after_two_steps(partial(make, name, **given, **options))
            for make, given in ((create, by), (of_torch, {}))
        )
        assert ours <= theirs, options
