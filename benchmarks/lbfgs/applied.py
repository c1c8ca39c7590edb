"""Problems as people have them: long valleys, regressions, and networks from several starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
from sklearn import datasets
from torch import Tensor
from torch.nn import functional

from benchmarks.lbfgs import networks, rosenbrock
from benchmarks.lbfgs.problem import Problem, at

SEEDS = range(21)
LONG_SEEDS = range(5)
"""Of the chain of a million variables, where each takes a minute."""
MANY_SEEDS = range(101)
"""Of the networks, where the counts of one solver differ by as much as sevenfold."""
Family = tuple[str, tuple[Problem, ...]]


def families() -> Iterator[Family]:
    """Yield a name and its problems: one, or one for each seed where the way is chaotic."""
    for n in (1_000, 1_000_000):
        yield _alone(rosenbrock.extended(n, f"extended Rosenbrock {n:.0e}"))
    yield _alone(long_chain(1_000))
    yield "chained Rosenbrock 1e+03", tuple(chain(1_000, seed) for seed in SEEDS)
    yield "chained Rosenbrock 1e+06", tuple(chain(1_000_000, seed) for seed in LONG_SEEDS)
    yield _alone(logistic())
    yield _alone(softmax())
    yield "MLP fit", tuple(networks.regression(seed) for seed in MANY_SEEDS)
    yield "PINN Poisson", tuple(networks.poisson(seed) for seed in MANY_SEEDS)


def long_chain(n: int) -> Problem:
    """Rosenbrock's chain from the standard start, where each variable waits for its neighbor.

    That takes about six evaluations for each, which is out of reach at n = 1e6.
    """
    problem = rosenbrock.chained(n, f"chained Rosenbrock {n:.0e}, far start")
    return attrs.evolve(problem, budget=20 * n)


def chain(n: int, seed: int) -> Problem:
    """Rosenbrock's chain from around 2, which all variables leave at once."""
    problem = rosenbrock.chained(n, f"chained Rosenbrock {n:.0e}, seed {seed}")

    def start() -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return 2 + 0.1 * torch.randn(n, dtype=torch.float64, generator=generator)

    return attrs.evolve(problem, start=start)


def logistic() -> Problem:
    """Logistic regression: 569 tumors, 30 standardized features and an intercept."""
    features, labels = _standardized(datasets.load_breast_cancer)
    targets = labels.to(features.dtype)

    def loss(x: Tensor) -> Tensor:
        fit = functional.binary_cross_entropy_with_logits(features @ x, targets)
        return fit + 1e-4 * x[1:].square().sum() / 2

    return Problem("logistic regression", _zeros(features.shape[1]), loss)


def softmax() -> Problem:
    """Softmax regression: 1797 digits, 64 standardized pixels and an intercept, 10 classes."""
    features, labels = _standardized(datasets.load_digits)

    def loss(x: Tensor) -> Tensor:
        weights = x.view(-1, 10)
        fit = functional.cross_entropy(features @ weights, labels)
        return fit + 1e-4 * weights[1:].square().sum() / 2

    return Problem("softmax regression", _zeros(10 * features.shape[1]), loss)


def _standardized(load: Callable[..., Any]) -> tuple[Tensor, Tensor]:
    """Return the features behind a column of ones, and the labels."""
    raw, labels = (torch.from_numpy(array) for array in load(return_X_y=True))
    spread = raw.std(dim=0, correction=0)
    scaled = (raw - raw.mean(dim=0)) / torch.where(spread > 0, spread, 1.0)
    return torch.cat([torch.ones(len(raw), 1, dtype=raw.dtype), scaled], dim=1), labels


def _zeros(n: int) -> Callable[[], Tensor]:
    return at(0.0, repeats=n)


def _alone(problem: Problem) -> Family:
    return problem.name, (problem,)
