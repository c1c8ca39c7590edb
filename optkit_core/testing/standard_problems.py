"""Standard problems: losses of a few variables, on which every algorithm has to descend."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from optkit_core.testing.problems import random


@attrs.frozen
class StandardProblem:
    """A loss to descend.

    Args:
        name: what it is called in messages.
        shapes: of its parameters.
        loss: returns it for parameters of these shapes.
        start: the value of every element at the start, or None to draw them.
        target: the part of the loss at the start below which it has to fall.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    loss: Callable[[list[Tensor]], Tensor]
    start: float | None
    target: float

    def parameters(self, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        """Return parameters at the start.

        Args:
            dtype: of the parameters.
            device: of the parameters.
        """
        drawn = [random(shape, dtype, seed, 8) * 0.5 for seed, shape in enumerate(self.shapes)]
        params = [p if self.start is None else torch.full_like(p, self.start) for p in drawn]
        return [p.to(device).requires_grad_() for p in params]


def quadratic(params: list[Tensor]) -> Tensor:
    """Return a sum of squares with weights from 1 to 100."""
    (x,) = params
    weights = torch.logspace(0, 2, x.numel(), dtype=x.dtype, device=x.device)
    return (weights * (x.flatten() - 1).square()).sum() / 2


def rosenbrock(params: list[Tensor]) -> Tensor:
    """Return Rosenbrock's function, a bent valley, with 10 in place of his 100.

    So steps of 0.01 along the gradient don't leave it, which plain descent needs a rate for.
    """
    x = params[0].flatten()
    return (10 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()


def logistic_regression(params: list[Tensor]) -> Tensor:
    """Return the loss of a linear classifier on drawn points of two overlapping classes."""
    (weights,) = params
    points, labels = _points(weights)
    return torch.nn.functional.binary_cross_entropy_with_logits(
        (points @ weights).flatten(), labels
    )


def network(params: list[Tensor]) -> Tensor:
    """Return the squared error of a network of one hidden layer on a smooth function."""
    first, second = params
    inputs = torch.linspace(-2, 2, 32, dtype=first.dtype, device=first.device)
    features = torch.stack([inputs, torch.ones_like(inputs)], dim=1)
    hidden = torch.tanh(features @ first)
    return ((hidden @ second).flatten() - torch.sin(2 * inputs)).square().mean()


def _points(like: Tensor) -> tuple[Tensor, Tensor]:
    points = random((64, like.shape[0]), like.dtype, 9).to(like.device)
    noise = random((64,), like.dtype, 10).to(like.device)
    return points, (points.sum(1) + 0.5 * noise > 0).to(like.dtype)


# All of them are matrices, which every algorithm takes.
STANDARD_PROBLEMS = (
    StandardProblem("an ill-conditioned quadratic", ((2, 4),), quadratic, 2.0, 0.5),
    StandardProblem("Rosenbrock's function", ((1, 2),), rosenbrock, -1.0, 0.5),
    StandardProblem("a logistic regression", ((6, 1),), logistic_regression, 0.0, 0.7),
    StandardProblem("a small network", ((2, 8), (8, 1)), network, None, 0.7),
)
"""The problems, with how far a loss has to fall; see `StandardProblem.target`."""
