"""A checkpoint goes both ways between torch's class and ours in the middle of a run."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from problems import gradients, set_gradients
from runnable import create, implementations
from torch_inputs import DENSE, groups_for_both, of_torch, params_of

from optkit_core.testing import assert_agree

HALF = 10
BY = [(name, by) for name in DENSE for by in implementations(name)]


def through_a_file(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def make(name: str, side: str, implementation: str) -> Any:
    made = groups_for_both(name, torch.float64)
    if side == "torch":
        return of_torch(name, made)
    return create(name, made, implementation)


def advance(optimizer: Any, steps: list[Any]) -> None:
    params = params_of(optimizer)
    for grads in steps:
        set_gradients(params, grads)
        optimizer.step()


def continued(source: Any, target: Any) -> Any:
    """Return the target with the parameters and the state of the source, through a file."""
    with torch.no_grad():
        for p, q in zip(params_of(target), params_of(source), strict=True):
            p.copy_(q)
    target.load_state_dict(through_a_file(source.state_dict()))
    return target


@pytest.mark.parametrize("way", ["torch to optkit", "optkit to torch", "optkit to optkit"])
@pytest.mark.parametrize(("name", "implementation"), BY)
def test_a_run_goes_on_elsewhere(name: str, implementation: str, way: str) -> None:
    """As if it hadn't moved; torch counts steps in float32, and optkit in float64."""
    source, target = (make(name, side, implementation) for side in way.split(" to "))
    steady = of_torch(name, groups_for_both(name, torch.float64))
    steps = list(gradients(params_of(steady), 2 * HALF))
    advance(steady, steps)
    advance(source, steps[:HALF])
    target = continued(source, target)
    advance(target, steps[HALF:])
    assert_agree(params_of(target), params_of(steady))
    for p, q in zip(params_of(target), params_of(steady), strict=True):
        assert target.state[p].keys() == steady.state[q].keys()
        for key, value in steady.state[q].items():
            assert_agree([target.state[p][key].double()], [value.double()])
