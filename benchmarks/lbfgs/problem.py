"""A minimization problem: where it starts, what is minimized, and what counts as solved."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

Loss = Callable[[Tensor], Tensor]
TARGET = 1e-6
BUDGET = 5_000


@frozen
class Problem:
    """A smooth function of one float64 vector, differentiated by autograd.

    Attributes:
        name: What the tables call it.
        start: Makes the starting point, a new tensor at each call.
        loss: Maps the vector to a 0-d tensor.
        minima: The known local minimum values, the global one first; empty where unknown.
        target: The largest gradient element, in magnitude, at which it counts as solved.
        budget: The most iterations and evaluations that a solver may take.
    """

    name: str
    start: Callable[[], Tensor]
    loss: Loss
    minima: tuple[float, ...] = ()
    target: float = TARGET
    budget: int = BUDGET


def at(*values: float, repeats: int = 1) -> Callable[[], Tensor]:
    """Return what makes the point of these coordinates, the sequence `repeats` times over."""
    return lambda: torch.tensor(values, dtype=torch.float64).repeat(repeats)


def sum_of_squares(residuals: Loss) -> Loss:
    """Return the loss whose terms are the squares of the residuals, without a factor 1/2."""
    return lambda x: residuals(x).square().sum()


def value_and_gradient(problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss at a point, detached, and its gradient there."""
    x = x.detach().requires_grad_()
    loss = problem.loss(x)
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach(), gradient
