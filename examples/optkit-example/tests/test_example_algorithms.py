"""The three algorithms: what optkit requires of every one, and a step computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optkit
from optkit_core import testing


@pytest.mark.parametrize("name", ["qhadam", "novograd", "shampoo"])
def test_conformance(name: str) -> None:
    print(testing.check(name))


def stepped(
    name: str, start: list[list[float]], gradient: list[list[float]], **options: Any
) -> torch.Tensor:
    """Return a parameter after one step."""
    p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    p.grad = torch.tensor(gradient, dtype=torch.float64)
    optkit.create(name, [p], **options).step()
    return p.detach()


def test_the_first_step_of_qhadam_is_that_of_adam() -> None:
    """In the first step mean and gradient are the same, whatever their weights are."""
    moved = stepped("qhadam", [[1.0, 1.0]], [[4.0, -0.5]], lr=0.1, eps=0.0)
    torch.testing.assert_close(moved, torch.tensor([[0.9, 1.1]], dtype=torch.float64))


def test_the_first_step_of_novograd_is_as_long_as_its_rate() -> None:
    moved = stepped("novograd", [[1.0, 1.0]], [[3.0, -4.0]], lr=0.5, eps=0.0)
    torch.testing.assert_close(moved, torch.tensor([[0.7, 1.4]], dtype=torch.float64))


def test_shampoo_takes_the_singular_values_out_of_its_first_step() -> None:
    """By the fourth root from each side, of a product with itself each."""
    moved = stepped("shampoo", [[0.0, 0.0], [0.0, 0.0]], [[9.0, 0.0], [0.0, -4.0]], lr=1.0)
    expected = torch.tensor([[-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0.0)
