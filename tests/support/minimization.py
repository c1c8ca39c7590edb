"""Losses to minimize with a closure, and runs of optimizers on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

SEARCHES = (None, "strong_wolfe")
ALL_SEARCHES = (*SEARCHES, "hager_zhang", "more_thuente", "backtracking")
STORAGE = ("fused", "flat", "forloop", "foreach")
CLOSE = {
    torch.float32: {"rtol": 1e-3, "atol": 1e-4},
    torch.float64: {"rtol": 1e-6, "atol": 1e-8},
}

Params = list[Tensor]
Loss = Callable[[Params], Any]


@attrs.define
class Problem:
    """A loss and where its minimization starts."""

    start: Params
    loss: Loss

    def params(self) -> Params:
        return [value.clone().requires_grad_() for value in self.start]


@attrs.define
class Run:
    """An optimizer on a problem, what it returned and where it went."""

    optimizer: Any
    params: Params
    loss: Loss
    calls: int = 0
    returned: list[float] = attrs.Factory(list)
    path: list[Tensor] = attrs.Factory(list)

    def closure(self) -> Any:
        self.calls += 1
        self.optimizer.zero_grad()
        loss = self.loss(self.params)
        loss.backward()
        return loss

    def step(self, count: int = 1) -> Run:
        for _ in range(count):
            self.returned.append(self.optimizer.step(self.closure).item())
            self.path.append(flat(self.params))
        return self


def run(cls: type[Any], problem: Problem, **options: Any) -> Run:
    params = problem.params()
    return Run(cls(params, **options), params, problem.loss)


def flat(params: Params) -> Tensor:
    values = [p.detach().clone() for p in params]
    return torch.cat([(torch.view_as_real(v) if v.is_complex() else v).reshape(-1) for v in values])


def assert_same_run(ours: Run, theirs: Run, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Two runs called the closure equally often, and saw and left the same, up to rounding."""
    assert ours.calls == theirs.calls
    close = {"rtol": rtol, "atol": atol, "equal_nan": True}
    torch.testing.assert_close(ours.returned, theirs.returned, **close)
    torch.testing.assert_close(ours.path, theirs.path, **close)


def quadratic(dtype: torch.dtype) -> Problem:
    scales = torch.logspace(0, 2, 12, dtype=dtype)
    return Problem([torch.ones(12, dtype=dtype)], lambda ps: (scales * (ps[0] - 2) ** 2).sum() / 2)


def rosenbrock(dtype: torch.dtype, n: int = 2) -> Problem:
    def loss(params: Params) -> Tensor:
        x = torch.cat(params)
        return ((1 - x[:-1]) ** 2).sum() + 100 * ((x[1:] - x[:-1] ** 2) ** 2).sum()

    return Problem([torch.full((1,), -1.2, dtype=dtype), torch.ones(n - 1, dtype=dtype)], loss)


def rosenbrock10(dtype: torch.dtype) -> Problem:
    return rosenbrock(dtype, 10)


def logistic(dtype: torch.dtype) -> Problem:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(60, generator=generator, dtype=torch.float64)
    labels = (features[:, 0] - features[:, 1] + noise > 0).to(dtype)
    features = features.to(dtype)

    def loss(params: Params) -> Tensor:
        scores = features @ params[0] + params[1]
        fit = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)
        return fit + 0.01 * params[0].square().sum()

    return Problem([torch.zeros(5, dtype=dtype), torch.zeros((), dtype=dtype)], loss)


def mlp(dtype: torch.dtype) -> Problem:
    generator = torch.Generator().manual_seed(1)
    shapes = [(8, 3), (8,), (2, 8), (2,)]
    start = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) / 2 for s in shapes]
    inputs = torch.randn(20, 3, generator=generator, dtype=torch.float64).to(dtype)
    targets = torch.stack([inputs.sum(1).sin(), inputs.prod(1)], 1)

    def loss(params: Params) -> Tensor:
        hidden = (inputs @ params[0].T + params[1]).tanh()
        return (hidden @ params[2].T + params[3] - targets).square().mean()

    return Problem(start, loss)


def complex_least_squares(dtype: torch.dtype) -> Problem:
    kind = {torch.float64: torch.complex128, torch.float32: torch.complex64}[dtype]
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(9, 4, generator=generator, dtype=kind)
    target = torch.randn(9, generator=generator, dtype=kind)

    def loss(params: Params) -> Tensor:
        return (matrix @ params[0] * params[1] - target).abs().square().sum()

    return Problem([torch.zeros(4, dtype=kind), torch.ones((), dtype=dtype)], loss)


PROBLEMS = (quadratic, rosenbrock, rosenbrock10, logistic, mlp, complex_least_squares)
