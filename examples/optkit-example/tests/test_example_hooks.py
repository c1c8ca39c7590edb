"""The implementation that is added to SGD, and the norm in a progress bar."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from optkit_example.gradient_norm import shown_in

import optkit


def parameter(dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=dtype))
    p.grad = torch.tensor([3.0, 4.0], dtype=dtype)
    return p


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True}], ids=str)
def test_numpy_steps_as_the_others_do(dtype: torch.dtype, options: dict[str, Any]) -> None:
    ours, reference = parameter(dtype), parameter(dtype)
    optimizer: Any = optkit.create("sgd", [ours], lr=0.5, implementation="numpy", **options)
    torch_s = torch.optim.SGD([reference], lr=0.5, **options)
    for _ in range(3):
        optimizer.step()
        torch_s.step()
    torch.testing.assert_close(ours, reference)
    assert optimizer.explain().buckets[0].implementation == "numpy"


def test_numpy_is_taken_only_where_it_is_asked_for() -> None:
    optimizer: Any = optkit.create("sgd", [parameter()], lr=0.5)
    bucket = optimizer.explain().buckets[0]
    assert bucket.implementation != "numpy" and "numpy" in bucket.rejected


@pytest.mark.parametrize(
    ("dtype", "options", "reason"),
    [(torch.float16, {}, "not float16"), (torch.float32, {"momentum": 0.9}, "no momentum")],
)
def test_numpy_says_what_it_cannot_do(
    dtype: torch.dtype, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(optkit.ImplementationError, match=reason):
        optkit.create("sgd", [parameter(dtype)], implementation="numpy", **options)


class Bar:
    """Notes what it is to show."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def set_postfix(self, *, grad_norm: str) -> None:
        self.shown.append(grad_norm)


def test_the_norm_is_shown_while_a_bar_is_there() -> None:
    bar, optimizer = Bar(), optkit.create("adamax", [parameter()])
    with shown_in(bar):
        optimizer.step()
    optimizer.step()
    assert bar.shown == ["5"]


def test_tqdm_takes_it() -> None:
    tqdm = pytest.importorskip("tqdm")
    bar = tqdm.tqdm(range(1), disable=False, leave=False)
    with bar, shown_in(bar):
        optkit.create("adamax", [parameter()]).step()
        assert bar.postfix == "grad_norm=5"
