"""Rosenbrock's valley in n dimensions: n/2 separate valleys, or one chain of n-1."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.lbfgs.problem import Problem, at, sum_of_squares


def extended_residuals(x: Tensor) -> Tensor:
    """Problem 21 of Moré, Garbow and Hillstrom; problem 1 where n = 2."""
    odd, even = x[0::2], x[1::2]
    return torch.cat([10 * (even - odd.square()), 1 - odd])


def chained_residuals(x: Tensor) -> Tensor:
    """Each neighbor follows the one before: every variable is tied to all others.

    Source: P. L. Toint, Some numerical results using a sparse matrix updating formula in
    unconstrained optimization, Math. Comp. 32 (1978), https://doi.org/10.2307/2006489, with
    all weights 100.
    """
    return torch.cat([10 * (x[1:] - x[:-1].square()), 1 - x[:-1]])


def extended(n: int, name: str = "extended Rosenbrock") -> Problem:
    """Return the problem of n/2 separate valleys, from the standard start."""
    return Problem(name, at(-1.2, 1.0, repeats=n // 2), sum_of_squares(extended_residuals), (0.0,))


def chained(n: int, name: str = "chained Rosenbrock") -> Problem:
    """Return the problem of one chain, from the same start; it has other minima than 0."""
    return Problem(name, at(-1.2, 1.0, repeats=n // 2), sum_of_squares(chained_residuals), (0.0,))
