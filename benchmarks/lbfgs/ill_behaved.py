"""Ten cases that are easy to minimize in exact arithmetic, and hard in floating point."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.lbfgs import rosenbrock
from benchmarks.lbfgs.problem import TARGET, Loss, Problem, at

BASE = rosenbrock.chained(10)
CONDITION = 1e4


def scaled(factor: float) -> Problem:
    """Rosenbrock's chain in other units; its gradient, and so the target, are scaled with it."""

    def loss(x: Tensor) -> Tensor:
        return factor * BASE.loss(x)

    return Problem(f"Rosenbrock 10 x {factor:.0e}", BASE.start, loss, (0.0,), TARGET * factor)


def shifted(offset: float) -> Problem:
    """Rosenbrock's chain above an offset that absorbs the last digits of its loss.

    At 1e8 the loss can't tell points apart whose gradients are below 5e-3 or so. The gradient
    is as exact as without the offset, so that the target stays.
    """

    def loss(x: Tensor) -> Tensor:
        return BASE.loss(x) + offset

    return Problem(f"Rosenbrock 10 + {offset:.0e}", BASE.start, loss, (offset,))


def quadratic(x: Tensor) -> Tensor:
    """An ellipsoid whose squared half-axes span four decades, around (1, 1, ...)."""
    curvatures = torch.logspace(0, 4, len(x), dtype=x.dtype)
    return (curvatures * (x - 1).square()).sum() / 2


def smoothed_absolute(width: float) -> Loss:
    """The length of x, rounded off within `width` of 0: curvature 1/width there, 0 elsewhere."""
    return lambda x: (x.square() + width**2).sqrt().sum()


def linear_less_log(x: Tensor) -> Tensor:
    """1000 x - log x, NaN below 0; least at 1/1000, where the curvature is 1e6."""
    return (1000 * x - x.log()).sum()


def exponential(x: Tensor) -> Tensor:
    """exp(x) - 3 x, least at log 3; the gradient at 60 is 1e26."""
    return (x.exp() - 3 * x).sum()


def square_less_root(x: Tensor) -> Tensor:
    """50 x^2 - sqrt(x), NaN below 0 and with an infinite slope at 0; least at 200^(-2/3)."""
    return (50 * x.square() - x.sqrt()).sum()


def _line(name: str, loss: Loss, start: float, least: float, target: float = TARGET) -> Problem:
    return Problem(name, at(start), loss, (loss(at(least)()).item(),), target)


PROBLEMS = (
    scaled(1e8),
    scaled(1e-8),
    shifted(1e4),
    shifted(1e8),
    Problem("quadratic, condition 1e4", at(0.0, repeats=100), quadratic, (0.0,), 1e-9),
    _line("1000 x - log x", linear_less_log, 0.5, 1e-3),
    _line("exp(x) - 3 x from 60", exponential, 60.0, torch.tensor(3.0).double().log().item()),
    _line("50 x^2 - sqrt x", square_less_root, 1.0, 200 ** (-2 / 3)),
    _line("smoothed |x|, width 1e-3", smoothed_absolute(1e-3), 3.0, 0.0),
    _line("smoothed |x|, width 1e-8", smoothed_absolute(1e-8), 3.0, 0.0),
)
