"""Every operation of Triton kernels, against the tensor method that it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import interpreted
import pytest
import torch
from bodies import CALLS, calling
from torch import Tensor

from optkit_core.implementations.fused.cpp import OPERATIONS as OPERATIONS_OF_CPP
from optkit_core.implementations.fused.triton_operations import OPERATIONS

interpreter = pytest.fixture(interpreted.standing_in)

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
ULPS = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 8e-3, torch.float16: 1e-3}
EXACT = frozenset(OPERATIONS) - {
    *("pow", "rpow", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos"),
    *("tanh", "atan", "atan2", "sigmoid", "erf", "hypot", "rsqrt", "pow_minus_2", "sqrt"),
    *("add_alpha", "sub_alpha", "lerp", "addcmul", "addcmul_value", "addcdiv", "addcdiv_value"),
}
"""Operations that are rounded as torch rounds them; others in the vicinity."""


def test_there_is_a_use_of_every_operation() -> None:
    assert CALLS.keys() == OPERATIONS.keys() == OPERATIONS_OF_CPP.keys()


def values(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return all pairs of awkward values, and a third one beside each pair."""
    info = torch.finfo(dtype)
    special = [0.0, 1.0, 0.5, 1.5, 2.5, 0.1, 3.0, float("inf"), info.max, info.tiny]
    special += [info.tiny / 4, info.eps, 88.7, 1e-3]
    signed = [sign * value for value in special for sign in (1, -1)] + [float("nan")]
    x, y = (
        torch.tensor(column, dtype=dtype) for column in zip(*product(signed, signed), strict=True)
    )
    return x, y, x.flip(0).roll(7)


def stepped(name: str, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    p = torch.nn.Parameter(x.clone())
    p.grad = y.clone()
    optimizer = calling(CALLS[name])([p], implementation="fused")
    optimizer.state[p].update(step=torch.tensor(0.0), other=z.clone())
    optimizer.step()
    return p.detach()


@interpreted.needed
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_agrees_with_torch(interpreter: Iterator[None], name: str, dtype: torch.dtype) -> None:
    inputs = values(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    wanted = CALLS[name](*(value.to(wide) for value in inputs)).to(dtype)
    found = stepped(name, *inputs)
    if name in EXACT:
        torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
        zero = (wanted == 0) & (name != "clamp_min")  # which of two zeros it takes isn't said
        assert torch.equal(found.signbit()[zero], wanted.signbit()[zero])
        return
    rounded_once = CALLS[name](*(value.to(torch.float64) for value in inputs)).to(dtype)
    off = ~(is_close(found, wanted) | is_close(found, rounded_once))
    assert not off.any(), [t[off] for t in (*inputs, found, wanted, rounded_once)]


def is_close(found: Tensor, wanted: Tensor) -> Tensor:
    info = torch.finfo(wanted.dtype)
    least = info.tiny * info.eps * 4
    return torch.isclose(found, wanted, ULPS[wanted.dtype], least, equal_nan=True)


@interpreted.needed
def test_a_number_keeps_its_precision(interpreter: Iterator[None]) -> None:
    """Triton takes Python's numbers as float32, unless it is told otherwise."""
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    found: Any = stepped("add_alpha", x, x.exp(), x)
    torch.testing.assert_close(found, x + 0.7 * x.exp(), rtol=1e-15, atol=1e-15)
