"""The line searches of L-BFGS, by themselves on functions of one number, and through the door."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from minimization import Problem as Start
from minimization import mlp, rosenbrock10, run
from torch import Tensor

import optkit
from benchmarks.lbfgs.ill_behaved import PROBLEMS as ILL_BEHAVED
from benchmarks.lbfgs.more_garbow_hillstrom import PROBLEMS as MORE_GARBOW_HILLSTROM
from benchmarks.lbfgs.problem import Problem
from optkit_plugins.lbfgs import (
    LBFGS,
    Backtracking,
    HagerZhang,
    Line,
    MoreThuente,
    StrongWolfe,
    Trial,
)
from optkit_plugins.lbfgs.searches import SEARCHES
from optkit_plugins.lbfgs.searches.interpolation import cubic_minimizer

NAMES = tuple(SEARCHES)
WAVY = {
    "parabola": lambda t: (t - 3) ** 2,
    "tail": lambda t: (-t).exp() + 0.01 * t * t,
    "valley": lambda t: -t / (t * t + 2),
    "quartic": lambda t: t**4 / 4 - t,
    "wavy": lambda t: (t - 3).abs() ** 1.5 + 0.1 * (5 * t).sin(),
    "log": lambda t: 5 * t - (t + 0.01).log(),
}


@attrs.define
class Scalar:
    """One step of steepest descent on a function of one number, by a line search."""

    function: Callable[[Tensor], Tensor]
    tried: list[tuple[float, float, float]] = attrs.Factory(list)

    def search(self, search: Any, first_step: float) -> Any:
        x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = LBFGS([x], lr=first_step, max_iter=1, max_eval=60, line_search_fn=search)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.function(x).sum()
            loss.backward()
            assert x.grad is not None
            self.tried.append((x.item(), loss.item(), x.grad.item()))
            return loss

        optimizer.step(closure)
        return optimizer, x


@pytest.mark.parametrize("first_step", [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("function", WAVY.values(), ids=WAVY)
@pytest.mark.parametrize("name", NAMES)
def test_a_search_ends_at_a_point_that_meets_its_conditions(
    name: str, function: Callable[[Tensor], Tensor], first_step: float
) -> None:
    run = Scalar(function)
    optimizer, x = run.search(name, first_step)
    _, start, slope = run.tried[0]
    end = next(tried for tried in run.tried if tried[0] == x.item())
    assert optimizer.result.loss == end[1]
    t = abs(x.item() / slope)
    assert end[1] <= start - 1e-4 * t * slope**2
    if name != "backtracking":
        assert end[2] * slope <= 0.9 * slope**2
    if name in ("strong_wolfe", "more_thuente"):
        assert abs(end[2]) <= 0.9 * abs(slope)


@pytest.mark.parametrize("first_step", [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("function", WAVY.values(), ids=WAVY)
@pytest.mark.parametrize("curvature", [0.1, 1e-3])
def test_more_and_thuentes_interval_keeps_the_minimum(
    curvature: float, function: Callable[[Tensor], Tensor], first_step: float
) -> None:
    """With the wrong end replaced, tight constants used up all trials that there are."""
    run = Scalar(function)
    _, x = run.search(MoreThuente(curvature=curvature), first_step)
    slope = run.tried[0][2]
    end = next(tried for tried in run.tried if tried[0] == x.item())
    assert abs(end[2]) <= curvature * abs(slope)
    assert len(run.tried) <= 16


HIDDEN = {"Brown-Dennis": 2e-3, "Jennrich-Sampson": 9e-5}
"""Gradients at points that the losses there, 86,000 and 124, are too long to tell apart: the root
of twice the loss's rounding times the largest curvature, 9.3e4 and 1.4e5."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("problem", MORE_GARBOW_HILLSTROM, ids=lambda p: p.name)
def test_the_problems_of_more_garbow_and_hillstrom_are_solved(problem: Problem, name: str) -> None:
    x, optimizer, calls = minimized(problem, name)
    result = optimizer.result
    assert calls == result.evaluations
    hidden = 0.0 if name == "hager_zhang" else HIDDEN.get(problem.name, 0.0)
    assert result.success or result.gradient < hidden
    if result.success:
        assert x.grad is not None and x.grad.abs().max() <= problem.target


@pytest.mark.parametrize("problem", ILL_BEHAVED, ids=lambda p: p.name)
def test_ill_behaved_problems_are_solved_and_told_truthfully(problem: Problem) -> None:
    x, optimizer, _ = minimized(problem, "hager_zhang")
    assert x.grad is not None
    assert optimizer.result.success and x.grad.abs().max() <= problem.target
    assert optimizer.result.gradient == x.grad.abs().max().item()


@pytest.mark.parametrize("problem", ILL_BEHAVED, ids=lambda p: p.name)
@pytest.mark.parametrize("name", NAMES)
def test_success_is_said_when_and_only_when_the_gradient_is_small(
    name: str, problem: Problem
) -> None:
    x, optimizer, _ = minimized(problem, name, budget=300)
    assert x.grad is not None
    assert optimizer.result.success == bool(x.grad.abs().max() <= problem.target)
    assert optimizer.result.gradient == x.grad.abs().max().item()


def minimized(problem: Problem, name: Any, budget: int = 3000) -> tuple[Tensor, Any, int]:
    x, calls = problem.start().requires_grad_(), []
    optimizer = optkit.create(
        "lbfgs",
        [x],
        history_size=10,
        line_search_fn=name,
        max_iter=budget,
        max_eval=budget,
        tolerance_grad=problem.target,
        tolerance_change=0.0,
    )

    def closure() -> Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = problem.loss(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    return x, optimizer, len(calls)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("name", NAMES)
def test_a_trial_that_is_not_finite_is_shrunk_and_never_accepted(
    name: str, where: str, bad: float
) -> None:
    x = torch.tensor([4.0, -3.0], dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], lr=100.0, max_iter=30, max_eval=300, line_search_fn=name)
    accepted = []
    optimizer.callback = lambda progress: accepted.append(x.detach().abs().max().item())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = x.square().sum()
        loss.backward()
        assert x.grad is not None
        if x.detach().abs().max() > 5:
            x.grad.mul_(bad) if where == "gradient" else loss.detach_().fill_(bad)
        return loss

    optimizer.step(closure)
    assert accepted and max(accepted) <= 5
    torch.testing.assert_close(x.detach(), torch.zeros_like(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_search_that_finds_nothing_restores_the_start_bit_for_bit(name: str) -> None:
    start = torch.randn(50, dtype=torch.float64)
    x = start.clone().requires_grad_()
    optimizer = LBFGS([x], max_iter=20, max_eval=400, line_search_fn=name)
    calls = []

    def closure() -> float:
        calls.append(1)
        x.grad = torch.ones_like(x)
        return float(len(calls))

    optimizer.step(closure)
    assert torch.equal(x.detach(), start)
    assert optimizer.result.reason == "line_search" and not optimizer.result.success
    assert len(calls) < 60


def test_a_search_may_be_a_record_or_a_function() -> None:
    def halving(line: Line, step: float) -> Trial:
        trial = line.try_step(step)
        while trial.loss >= line.origin.loss:
            trial = line.try_step(trial.step / 2)
        return trial

    for search in (halving, HagerZhang(curvature=0.5), StrongWolfe(max_trials=7), Backtracking()):
        ours = run(LBFGS, rosenbrock10(torch.float64), line_search_fn=search, max_iter=400).step(2)
        assert ours.optimizer.result.gradient < 1e-2


def test_a_trial_whose_gradient_is_gone_is_evaluated_again() -> None:
    def first_of_three(line: Line, step: float) -> Trial:
        first = line.try_step(step)
        line.try_step(step / 2)
        line.try_step(step / 4)
        return first

    given: dict[str, Any] = {"lr": 0.01, "max_iter": 3, "max_eval": 99}
    problem = rosenbrock10(torch.float64)
    ours = run(LBFGS, problem, line_search_fn=first_of_three, **given).step()
    assert ours.params[0].grad is not None
    shown = [p.grad.clone() for p in ours.params if p.grad is not None]
    ours.closure()
    assert all(torch.equal(p.grad, g) for p, g in zip(ours.params, shown, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(40))
def test_answers_without_a_sense_end_a_search_as_any_other(seed: int, name: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], max_iter=30, max_eval=500, line_search_fn=name)

    def closure() -> Tensor:
        gradient = torch.randn(3, dtype=torch.float64, generator=generator)
        x.grad = gradient * 10 ** (6 * torch.rand((), generator=generator) - 3)
        return torch.rand((), dtype=torch.float64, generator=generator)

    for _ in range(3):
        optimizer.step(closure)
        assert x.isfinite().all()


def test_the_second_trial_may_climb_above_the_first_as_in_torch() -> None:
    tried: list[float] = []
    answers = iter([(0.0, -1.0), (-0.5, -0.95), (-0.4, -0.95), (-1.0, 0.0)])
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def closure() -> float:
        loss, slope = next(answers)
        tried.append(x.item())
        x.grad = torch.tensor([slope], dtype=torch.float64)
        return loss

    optimizer = LBFGS([x], line_search_fn="strong_wolfe", max_iter=1, max_eval=9)
    optimizer.step(closure)
    assert tried == sorted(tried)
    assert optimizer.result.loss == -1.0


def end(step: float, loss: float, slope: float) -> Any:
    return Trial(step, loss, slope, None, 0)


def test_cubic_interpolation_finds_the_minimum_of_a_cubic() -> None:
    a, b = (end(t, t**3 - 3 * t, 3 * t**2 - 3) for t in (0.0, 3.0))
    assert cubic_minimizer(a, b, 0.0, 3.0) == pytest.approx(1.0)
    assert cubic_minimizer(b, a, 0.0, 3.0) == pytest.approx(1.0)
    assert cubic_minimizer(a, b, 2.0, 3.0) == 2.0


@pytest.mark.parametrize("loss", [math.inf, 1e308])
def test_interpolation_with_huge_values_takes_the_middle(loss: float) -> None:
    assert cubic_minimizer(end(0.0, 1.0, -1.0), end(2.0, loss, math.inf), 0.0, 2.0) == 1.0


@pytest.mark.parametrize("factor", [1e-10, 1e-5, 1e5, 1e10])
@pytest.mark.parametrize("name", ["hager_zhang", "more_thuente", "backtracking"])
def test_the_units_of_the_loss_do_not_matter(name: str, factor: float) -> None:
    def scaled(by: float) -> Start:
        problem = mlp(torch.float64)
        return Start(problem.start, lambda params: by * problem.loss(params))

    given: dict[str, Any] = {"line_search_fn": name, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    given |= {"max_iter": 15, "max_eval": 60}
    ours = run(LBFGS, scaled(factor), **given).step(2)
    plain = run(LBFGS, scaled(1.0), **given).step(2)
    assert ours.calls == plain.calls
    torch.testing.assert_close(ours.path, plain.path, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("factor", [1e-10, 1e-5, 1e5, 1e10])
def test_strong_wolfe_is_free_of_units_with_a_first_step_that_is(factor: float) -> None:
    def steps(by: float) -> Any:
        problem = mlp(torch.float64)
        scaled = Start(problem.start, lambda params: by * problem.loss(params))
        given: dict[str, Any] = {"line_search_fn": "strong_wolfe", "initial_step": "unit"}
        given |= {"tolerance_grad": 0.0, "tolerance_change": 0.0, "max_iter": 15, "max_eval": 60}
        return run(LBFGS, scaled, **given).step(2).path

    torch.testing.assert_close(steps(factor), steps(1.0), rtol=1e-6, atol=1e-8)
