"""L-BFGS leaves the closure's gradients as they are, whatever point a step ends at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from minimization import ALL_SEARCHES, STORAGE

from optkit_plugins.lbfgs import LBFGS

Kept = list[tuple[torch.Tensor, torch.Tensor]]


def by_backward(p: torch.Tensor, kept: Kept) -> torch.Tensor:
    p.grad = None
    loss = p.abs().sum()
    loss.backward()
    assert p.grad is not None
    kept.append((p.grad, p.grad.clone()))
    return loss


def expanded(p: torch.Tensor, kept: Kept) -> torch.Tensor:
    """A sum's gradient is one number that stands for all of them."""
    loss = p.sum().abs()
    (p.grad,) = torch.autograd.grad(loss, p)
    kept.append((p.grad, p.grad.clone()))
    return loss.detach()


def for_inference(p: torch.Tensor, kept: Kept) -> torch.Tensor:
    with torch.inference_mode():
        p.grad = p.sign()
        kept.append((p.grad, p.grad.clone()))
    return p.detach().abs().sum()


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("search", ALL_SEARCHES)
@pytest.mark.parametrize("closure", [by_backward, expanded, for_inference])
def test_the_closures_gradients_stay_as_they_are(
    closure: Callable[[torch.Tensor, Kept], torch.Tensor], search: str | None, storage: str
) -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0, 4.0]))
    optimizer: Any = LBFGS([p], line_search_fn=search, implementation=storage)
    kept: Kept = []
    for _ in range(3):
        optimizer.step(lambda: closure(p, kept))
    assert len(kept) > 3
    assert all(torch.equal(given, noted) for given, noted in kept)


def test_a_graph_that_saved_a_gradient_can_be_walked() -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0, 4.0]))
    weight = torch.ones(3, requires_grad=True)
    products: list[torch.Tensor] = []

    def closure() -> torch.Tensor:
        loss = by_backward(p, [])
        with torch.enable_grad():
            products.append((weight * p.grad).sum())
        return loss

    LBFGS([p], line_search_fn="strong_wolfe").step(closure)
    for product in products:
        product.backward()
    assert weight.grad is not None
