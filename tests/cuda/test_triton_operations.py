"""Every operation of Triton kernels, against the tensor method that it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import interpreted
import pytest
import torch
from awkward_values import is_close, values
from bodies import CALLS, calling
from torch import Tensor

from optkit_core.tracing.operations import OPERATIONS, Rounding

interpreter = pytest.fixture(interpreted.standing_in)

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
EXACT = [name for name, o in OPERATIONS.items() if o.rounding is Rounding.EXACT]
"""Operations that are rounded as torch rounds them; others in the vicinity."""


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


@interpreted.needed
def test_a_number_keeps_its_precision(interpreter: Iterator[None]) -> None:
    """Triton takes Python's numbers as float32, unless it is told otherwise."""
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    found: Any = stepped("add_alpha", x, x.exp(), x)
    torch.testing.assert_close(found, x + 0.7 * x.exp(), rtol=1e-15, atol=1e-15)
