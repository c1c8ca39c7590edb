"""21 of the problems for unconstrained minimization of Moré, Garbow and Hillstrom.

Each function returns the residuals; the loss is the sum of their squares. Numbers, data,
starts and minima are the paper's.

Source: J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing Unconstrained Optimization
Software, ACM Transactions on Mathematical Software 7(1) (1981),
https://doi.org/10.1145/355934.355936
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.lbfgs import rosenbrock
from benchmarks.lbfgs.problem import Loss, Problem, at, sum_of_squares


def freudenstein_roth(x: Tensor) -> Tensor:
    """Problem 2."""
    a, b = x.unbind()
    return torch.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


def powell_badly_scaled(x: Tensor) -> Tensor:
    """Problem 3."""
    a, b = x.unbind()
    return torch.stack([1e4 * a * b - 1, torch.exp(-a) + torch.exp(-b) - 1.0001])


def brown_badly_scaled(x: Tensor) -> Tensor:
    """Problem 4."""
    a, b = x.unbind()
    return torch.stack([a - 1e6, b - 2e-6, a * b - 2])


def beale(x: Tensor) -> Tensor:
    """Problem 5."""
    a, b = x.unbind()
    return _vector(1.5, 2.25, 2.625) - a * (1 - b ** _indices(3))


def jennrich_sampson(x: Tensor) -> Tensor:
    """Problem 6, with m = 10."""
    i = _indices(10)
    return 2 + 2 * i - torch.exp(i * x[0]) - torch.exp(i * x[1])


def helical_valley(x: Tensor) -> Tensor:
    """Problem 7; the angle runs from -1/4 to 3/4 of a turn, and jumps on the lower x2 axis."""
    a, b, c = x.unbind()
    side = 1.0 if a >= 0 else -1.0
    turn = torch.atan2(side * b, side * a) / (2 * math.pi) + (0.0 if a >= 0 else 0.5)
    return torch.stack([10 * (c - 10 * turn), 10 * (torch.hypot(a, b) - 1), c])


def bard(x: Tensor) -> Tensor:
    """Problem 8."""
    u = _indices(15)
    v = 16 - u
    data = _vector(
        *(0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39),
        *(0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39),
    )
    return data - (x[0] + u / (v * x[1] + torch.minimum(u, v) * x[2]))


def gaussian(x: Tensor) -> Tensor:
    """Problem 9."""
    a, b, c = x.unbind()
    rising = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521)
    t = (8 - _indices(15)) / 2
    return a * torch.exp(-b * (t - c).square() / 2) - _vector(*rising, 0.3989, *rising[::-1])


def gulf(x: Tensor) -> Tensor:
    """Problem 11, with m = 99; the paper's "y_i m i x_2" is read as y_i - x_2, as in its code."""
    a, b, c = x.unbind()
    t = _indices(99) / 100
    y = 25 + (-50 * torch.log(t)) ** (2 / 3)
    return torch.exp(-((y - b).abs() ** c) / a) - t


def powell_singular(x: Tensor) -> Tensor:
    """Problem 22; problem 13 where n = 4."""
    a, b, c, d = x.view(-1, 4).unbind(1)
    tenth, half = math.sqrt(10), math.sqrt(5)
    return torch.cat([a + 10 * b, half * (c - d), (b - 2 * c).square(), tenth * (a - d).square()])


def wood(x: Tensor) -> Tensor:
    """Problem 14."""
    a, b, c, d = x.unbind()
    tilted = [math.sqrt(10) * (b + d - 2), (b - d) / math.sqrt(10)]
    valleys = [10 * (b - a * a), 1 - a, math.sqrt(90) * (d - c * c), 1 - c]
    return torch.stack(valleys + tilted)


def kowalik_osborne(x: Tensor) -> Tensor:
    """Problem 15."""
    a, b, c, d = x.unbind()
    y = _vector(
        *(0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627),
        *(0.0456, 0.0342, 0.0323, 0.0235, 0.0246),
    )
    u = _vector(4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625)
    return y - a * (u * u + u * b) / (u * u + u * c + d)


def brown_dennis(x: Tensor) -> Tensor:
    """Problem 16, with m = 20."""
    a, b, c, d = x.unbind()
    t = _indices(20) / 5
    line, wave = a + t * b - torch.exp(t), c + d * torch.sin(t) - torch.cos(t)
    return line.square() + wave.square()


def biggs_exp6(x: Tensor) -> Tensor:
    """Problem 18, with m = 13."""
    a, b, c, d, e, f = x.unbind()
    t = _indices(13) / 10
    y = torch.exp(-t) - 5 * torch.exp(-10 * t) + 3 * torch.exp(-4 * t)
    return c * torch.exp(-t * a) - d * torch.exp(-t * b) + f * torch.exp(-t * e) - y


def watson(x: Tensor) -> Tensor:
    """Problem 20."""
    powers = (_indices(29) / 29)[:, None] ** torch.arange(len(x), dtype=x.dtype)
    slope = powers[:, :-1] @ (x[1:] * _indices(len(x) - 1))
    ends = torch.stack([x[0], x[1] - x[0].square() - 1])
    return torch.cat([slope - (powers @ x).square() - 1, ends])


def penalty_one(x: Tensor) -> Tensor:
    """Problem 23."""
    return torch.cat([math.sqrt(1e-5) * (x - 1), (x.dot(x) - 0.25)[None]])


def trigonometric(x: Tensor) -> Tensor:
    """Problem 26."""
    n, cosines = len(x), torch.cos(x)
    return n - cosines.sum() + _indices(n) * (1 - cosines) - torch.sin(x)


def brown_almost_linear(x: Tensor) -> Tensor:
    """Problem 27."""
    return torch.cat([x[:-1] + x.sum() - (len(x) + 1), (x.prod() - 1)[None]])


def broyden_tridiagonal(x: Tensor) -> Tensor:
    """Problem 30."""
    outside = x.new_zeros(1)
    before, after = torch.cat([outside, x[:-1]]), torch.cat([x[1:], outside])
    return (3 - 2 * x) * x - before - 2 * after + 1


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _indices(last: int) -> Tensor:
    return torch.arange(1, last + 1, dtype=torch.float64)


def _problem(residuals: Loss, name: str, start: tuple[float, ...], *minima: float) -> Problem:
    return Problem(name, at(*start), sum_of_squares(residuals), minima)


PROBLEMS = (
    rosenbrock.extended(2, "Rosenbrock"),
    _problem(freudenstein_roth, "Freudenstein-Roth", (0.5, -2.0), 0.0, 48.9842),
    _problem(powell_badly_scaled, "Powell badly scaled", (0.0, 1.0), 0.0),
    _problem(brown_badly_scaled, "Brown badly scaled", (1.0, 1.0), 0.0),
    _problem(beale, "Beale", (1.0, 1.0), 0.0),
    _problem(jennrich_sampson, "Jennrich-Sampson", (0.3, 0.4), 124.362),
    _problem(helical_valley, "helical valley", (-1.0, 0.0, 0.0), 0.0),
    _problem(bard, "Bard", (1.0, 1.0, 1.0), 8.21487e-3, 17.4286),
    _problem(gaussian, "Gaussian", (0.4, 1.0, 0.0), 1.12793e-8),
    _problem(gulf, "Gulf", (5.0, 2.5, 0.15), 0.0),
    _problem(powell_singular, "Powell singular", (3.0, -1.0, 0.0, 1.0), 0.0),
    _problem(wood, "Wood", (-3.0, -1.0, -3.0, -1.0), 0.0),
    _problem(kowalik_osborne, "Kowalik-Osborne", (0.25, 0.39, 0.415, 0.39), 3.07505e-4, 1.02734e-3),
    _problem(brown_dennis, "Brown-Dennis", (25.0, 5.0, -5.0, -1.0), 85822.2),
    _problem(biggs_exp6, "Biggs EXP6", (1.0, 2.0, 1.0, 1.0, 1.0, 1.0), 0.0, 5.65565e-3),
    _problem(watson, "Watson 12", (0.0,) * 12, 4.72238e-10),
    _problem(powell_singular, "Powell singular 1000", (3.0, -1.0, 0.0, 1.0) * 250, 0.0),
    _problem(penalty_one, "penalty I", tuple(range(1, 11)), 7.08765e-5),
    _problem(trigonometric, "trigonometric", (0.1,) * 10, 0.0, 2.79506e-5),
    _problem(brown_almost_linear, "Brown almost linear", (0.5,) * 10, 0.0, 1.0),
    _problem(broyden_tridiagonal, "Broyden tridiagonal 1000", (-1.0,) * 1000, 0.0),
)
