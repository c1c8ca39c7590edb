"""In lock step with torch.optim, a group for each input that torch's own tests list."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from problems import gradients, set_gradients
from runnable import create, implementations
from torch_inputs import CASES, all_of_torch, groups, params_of

from optkit_core.testing import assert_agree

STEPS = 25
EXACT = (torch.float32, torch.float64)
BY = [
    pytest.param(
        name, dtype, by, id=f"{name}-{dtype}-{by}", marks=[pytest.mark.slow] * (by == "fused")
    )
    for name, dtype in CASES
    for by in implementations(name, dtype)
    # A fused step rounds once where torch rounds many times: it is compared with float32
    # in tests/implementations/test_fused_algorithms.py.
    if by != "fused" or dtype.itemsize > 2
]


def assert_same_bits(mine: Any, theirs: Any) -> None:
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("name", "dtype", "implementation"), BY)
def test_every_input_of_torchs_tests(name: str, dtype: torch.dtype, implementation: str) -> None:
    """Parameters after each step, the state at last; the for-loop has torch's bits."""
    ours, theirs = create(name, groups(name, dtype), implementation), all_of_torch(name, dtype)
    mine, other = params_of(ours), params_of(*theirs)
    is_exact = implementation == "forloop" and dtype in EXACT
    for grads in gradients(mine, steps_of(implementation, dtype)):
        step((ours,), mine, grads)
        step(theirs, other, grads)
        (assert_same_bits if is_exact else assert_agree)(mine, other)
    states = {p: state for optimizer in theirs for p, state in optimizer.state.items()}
    for p, q in zip(mine, other, strict=True):
        assert_same_entries(ours.state.get(p, {}), states.get(q, {}), dtype)


def steps_of(implementation: str, dtype: torch.dtype) -> int:
    """Return how many steps agree: in half types another order of roundings soon adds up."""
    return STEPS if implementation == "forloop" or dtype.itemsize > 2 else 6


def step(optimizers: Any, params: Any, grads: Any) -> None:
    set_gradients(params, grads)
    for optimizer in optimizers:
        optimizer.step()


def assert_same_entries(found: Any, wanted: Any, dtype: torch.dtype) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        # A counter is wider here: torch's sticks at 2^24.
        expected = value.to(found[key].dtype) if key == "step" else value
        assert_agree([found[key]], [expected], dtype=dtype)
