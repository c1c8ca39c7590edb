"""SOAP: what is preconditioned, in which bases, and that no rounding chooses one of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from checked import STATE, STEPS
from torch import Tensor

from optkit_core import testing
from optkit_plugins.soap import SOAP

SIDES = ("row", "column")


def stepped(params: list[Tensor], steps: int, **options: Any) -> SOAP:
    optimizer = SOAP(params, **options)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    return optimizer


def sides(optimizer: SOAP, p: Tensor) -> dict[str, int]:
    """Return the sizes of the sides of a parameter that are preconditioned."""
    state = optimizer.state[p]
    assert all((f"{side}_factor" in state) == (f"{side}_basis" in state) for side in SIDES)
    return {side: len(state[f"{side}_basis"]) for side in SIDES if f"{side}_basis" in state}


@pytest.mark.parametrize(
    ("shape", "options", "wanted"),
    [
        ((4, 6), {}, {"row": 4, "column": 6}),
        ((4, 6), {"max_precond_dim": 5}, {"row": 4}),
        ((6, 4), {"max_precond_dim": 5}, {"column": 4}),
        ((6, 6), {"max_precond_dim": 5}, {}),
        ((5, 2, 3), {}, {"row": 5, "column": 6}),
        ((4,), {}, {}),
        ((4,), {"precondition_1d": True}, {"row": 4}),
        ((), {"precondition_1d": True}, {}),
    ],
    ids=str,
)
def test_sides_that_are_preconditioned(
    shape: tuple[int, ...], options: Any, wanted: dict[str, int]
) -> None:
    p = torch.ones(shape, dtype=torch.float64)
    optimizer = stepped([p], 3, **options)
    assert sides(optimizer, p) == wanted
    assert not torch.equal(p, torch.ones_like(p))


def test_the_first_gradient_makes_bases_alone() -> None:
    p = torch.ones(4, 6, dtype=torch.float64)
    state = stepped([p], 1, weight_decay=0.5).state[p]
    assert torch.equal(p, torch.ones_like(p))
    assert not state["exp_avg"].any() and not state["exp_avg_sq"].any()
    for side in SIDES:
        factor, basis = state[f"{side}_factor"], state[f"{side}_basis"]
        torch.testing.assert_close(basis.mT @ basis, torch.eye(len(basis)).double())
        values = (basis.mT @ factor @ basis).diagonal()
        torch.testing.assert_close(basis.mT @ factor @ basis, values.diag())
        assert (values.diff() < 1e-12).all() and values[3] > 1e-3


def test_bases_follow_when_it_is_time() -> None:
    p = torch.ones(4, 4, dtype=torch.float64)
    bases = [stepped([p], n, precondition_frequency=3).state[p]["row_basis"] for n in range(1, 8)]
    changed = [not torch.equal(one, other) for one, other in pairwise(bases)]
    assert changed == [False, False, True, False, False, True]


def test_bases_are_those_of_gradients_of_any_size() -> None:
    bases = []
    for size in (1.0, 1e-9):
        p = torch.ones(4, 6, dtype=torch.float64)
        p.grad = size * torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).double()
        optimizer = SOAP([p])
        optimizer.step()
        bases.append(optimizer.state[p]["row_basis"].abs())
    torch.testing.assert_close(*bases)


def test_bases_come_to_be_eigenvectors() -> None:
    p = torch.ones(4, 5, dtype=torch.float64)
    state = stepped([p], 400, betas=(0.9, 0.999), precondition_frequency=1).state[p]
    for side in SIDES:
        turned = state[f"{side}_basis"].mT @ state[f"{side}_factor"] @ state[f"{side}_basis"]
        off = turned - turned.diagonal().diag()
        assert off.abs().max() < 0.02 * turned.abs().max()


def test_without_a_side_it_is_adamw_from_the_second_gradient_on() -> None:
    p, q = torch.ones(7, dtype=torch.float64), torch.ones(7, dtype=torch.float64)
    soap = SOAP([p], lr=0.1, betas=(0.8, 0.9), weight_decay=0.0)
    adam = torch.optim.AdamW([q], lr=0.1, betas=(0.8, 0.9), weight_decay=0.0, foreach=False)
    for number in range(6):
        p.grad = q.grad = torch.linspace(-1.0, 2.0 + number, 7, dtype=torch.float64)
        soap.step()
        if number:
            adam.step()
    # There eps is added to the root before it is corrected, here after that.
    torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("limit", [10, 5])
def test_a_tensor_of_more_dimensions_is_a_matrix(limit: int) -> None:
    ends = []
    for shape in ((6, 2, 2), (6, 4)):
        p = torch.ones(shape, dtype=torch.float64)
        if len(shape) == 3:
            p = p.permute(0, 2, 1).contiguous().permute(0, 2, 1)
        optimizer = stepped([p], 12, precondition_frequency=2, max_precond_dim=limit)
        assert sides(optimizer, p) == ({"column": 4} if limit < 6 else {"row": 6, "column": 4})
        ends.append(p.reshape(6, 4))
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_has_bases_of_single_precision(dtype: torch.dtype) -> None:
    p = torch.ones(4, 6, dtype=dtype)
    state = stepped([p], 12).state[p]
    assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == dtype
    for side in SIDES:
        basis = state[f"{side}_basis"]
        assert basis.dtype == state[f"{side}_factor"].dtype == torch.float32
        torch.testing.assert_close(basis.mT @ basis, torch.eye(len(basis)))


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_eigenvalues_of_zero_have_directions_that_rounding_does_not_choose(
    implementation: str,
) -> None:
    """Of 20 rows 3 gradients of two columns say something about 6."""
    p = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    params = [p.clone(), p * (1 + 1e-15), p.clone()]
    generator = torch.Generator().manual_seed(1)
    optimizer = SOAP(params, precondition_frequency=1, implementation=implementation)
    for _ in range(3):
        g = torch.randn(20, 2, generator=generator, dtype=torch.float64)
        for factor, q in zip((1.0, 1 + 4e-16, 1 - 4e-16), params, strict=True):
            q.grad = g * factor
        optimizer.step()
    first, *others = params
    for other in others:
        torch.testing.assert_close(first, other, rtol=0, atol=1e-10)


def test_no_gradient_yet_and_one_of_zeros() -> None:
    p = torch.ones(3, 2)
    optimizer = SOAP([p], weight_decay=0.0)
    for _ in range(3):
        p.grad = torch.zeros(3, 2)
        optimizer.step()
    assert torch.equal(p, torch.ones(3, 2))
    assert torch.equal(optimizer.state[p]["row_basis"], torch.eye(3))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", [{"precondition_1d": True}, {"max_precond_dim": 8}], ids=str)
def test_it_conforms(options: Any, dtype: torch.dtype) -> None:
    """With options; `pytest --optkit` checks its defaults, in every dtype."""
    report = testing.check("soap", dtype, only=(*STEPS, *STATE), **options)
    assert report.implementations == ("forloop", "foreach")
    assert set(report.left_out) == {
        "autograd can record a step",
        "eval() and train() undo each other",
        "implementations agree on sparse gradients",
    }
