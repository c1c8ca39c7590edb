"""The benchmark's problems are what their sources say: starts, minima and gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import scipy.optimize
import torch
from torch import Tensor

from benchmarks.lbfgs import ill_behaved, more_garbow_hillstrom
from benchmarks.lbfgs.problem import Problem, value_and_gradient

PAPER = {problem.name: problem for problem in more_garbow_hillstrom.PROBLEMS}
CASES = {problem.name: problem for problem in ill_behaved.PROBLEMS}
AT_START = {
    "Rosenbrock": 24.2,
    "Freudenstein-Roth": 400.5,
    "Powell badly scaled": 1 + (math.exp(-1) - 0.0001) ** 2,
    "Brown badly scaled": 999_999**2 + (1 - 2e-6) ** 2 + 1,
    "Beale": 1.5**2 + 2.25**2 + 2.625**2,
    "Jennrich-Sampson": sum(
        (2 + 2 * i - math.exp(0.3 * i) - math.exp(0.4 * i)) ** 2 for i in range(1, 11)
    ),
    "helical valley": 2500.0,
    "Bard": 41.6817,
    "Gaussian": 3.88811e-6,
    "Gulf": 12.1107,
    "Powell singular": 49 + 5 + 1 + 160,
    "Wood": 19192.0,
    "Kowalik-Osborne": 5.31317e-3,
    "Brown-Dennis": 7926693.337,
    "Biggs EXP6": 0.779070,
    "Watson 12": 29.0 + 1.0,
    "Powell singular 1000": 250.0 * 215,
    "penalty I": 1e-5 * 285 + (385 - 0.25) ** 2,
    "trigonometric": sum(
        (10 - 10 * math.cos(0.1) + i * (1 - math.cos(0.1)) - math.sin(0.1)) ** 2
        for i in range(1, 11)
    ),
    "Brown almost linear": 9 * 5.5**2 + (1 - 2**-10) ** 2,
    "Broyden tridiagonal 1000": 998 + 4 + 9,
}
MINIMIZERS: dict[str, tuple[float, ...]] = {
    "Rosenbrock": (1, 1),
    "Freudenstein-Roth": (5, 4),
    "Brown badly scaled": (1e6, 2e-6),
    "Beale": (3, 0.5),
    "helical valley": (1, 0, 0),
    "Gulf": (50, 25, 1.5),
    "Powell singular": (0,) * 4,
    "Wood": (1,) * 4,
    "Biggs EXP6": (1, 10, 1, 5, 4, 3),
    "Powell singular 1000": (0,) * 1000,
    "trigonometric": (0,) * 10,
    "Brown almost linear": (1,) * 10,
}
ELSEWHERE = {
    "Bard": (0.840668, -1e9, -1e9),
    "Kowalik-Osborne": (2.209594e7, -14.07588, -1e9, -6.238013e8),
    "Biggs EXP6": (1.711416, 17.683198, 1.163144, 5.186562, 1.711416, 1.163144),
    "Brown almost linear": (*(0.0,) * 9, 11.0),
}
BY_HAND = [
    ("Powell badly scaled", (2, 3), (6e4 - 1) ** 2 + (math.exp(-2) + math.exp(-3) - 1.0001) ** 2),
    ("helical valley", (3, -4, 1), 100 * (1 + 10 * math.atan(4 / 3) / math.tau) ** 2 + 1601),
    ("helical valley", (-3, -4, 1), 100 * (-4 - 10 * math.atan(4 / 3) / math.tau) ** 2 + 1601),
    ("helical valley", (0, 2, 1), 100 * (1 - 2.5) ** 2 + 101),
    ("Powell singular", (1, 2, 3, 4), 21**2 + 5 + 4**4 + 10 * 3**4),
    ("Wood", (1, 2, 3, 4), 100 + 90 * 5**2 + 4 + 10 * 4**2 + 0.4),
]
LEAST = {
    "1000 x - log x": 1e-3,
    "exp(x) - 3 x from 60": math.log(3),
    "50 x^2 - sqrt x": 200 ** (-2 / 3),
}
SEARCHED = [
    "Freudenstein-Roth",
    "Powell badly scaled",
    "Jennrich-Sampson",
    "Bard",
    "Gaussian",
    "Kowalik-Osborne",
    "Brown-Dennis",
    "Watson 12",
    "penalty I",
    "trigonometric",
]


def value_and_largest(problem: Problem, point: Any) -> tuple[float, float]:
    loss, gradient = value_and_gradient(problem, torch.as_tensor(point, dtype=torch.float64))
    return loss.item(), gradient.abs().max().item()


def away_from(x: Tensor) -> Tensor:
    """Return a point nearby, so that no derivative vanishes by symmetry."""
    return x + 0.01 * torch.linspace(1, 2, len(x), dtype=x.dtype)


def newton(problem: Problem) -> Any:
    """Return where a trust-region method with exact second derivatives ends."""

    def gradient(x: Any) -> Any:
        loss, gradient = value_and_gradient(problem, torch.tensor(x))
        return loss.item(), gradient.numpy()

    def hessian(x: Any) -> Any:
        return torch.autograd.functional.hessian(problem.loss, torch.tensor(x)).numpy()

    start = problem.start().numpy()
    return scipy.optimize.minimize(
        gradient, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-9}
    )


def test_there_are_21_from_the_paper_and_10_more() -> None:
    assert len(PAPER) == len(more_garbow_hillstrom.PROBLEMS) == 21
    assert len(CASES) == len(ill_behaved.PROBLEMS) == 10


@pytest.mark.parametrize("name", PAPER)
def test_loss_at_the_standard_start(name: str) -> None:
    problem = PAPER[name]
    assert problem.loss(problem.start()).item() == pytest.approx(AT_START[name], rel=2e-6)


@pytest.mark.parametrize(("name", "point", "loss"), BY_HAND)
def test_loss_elsewhere(name: str, point: tuple[float, ...], loss: float) -> None:
    assert value_and_largest(PAPER[name], point)[0] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("name", ["Brown badly scaled", "Beale"])
def test_start_that_the_loss_hardly_shows(name: str) -> None:
    assert PAPER[name].start().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", [*PAPER, *CASES])
def test_start_is_a_new_float64_vector_each_time(name: str) -> None:
    problem = (PAPER | CASES)[name]
    first, second = problem.start(), problem.start()
    assert first.dtype == torch.float64 and first.ndim == 1
    assert first.data_ptr() != second.data_ptr()
    assert problem.loss(first).ndim == 0


@pytest.mark.parametrize("name", MINIMIZERS)
def test_global_minimum_where_the_paper_puts_it(name: str) -> None:
    loss, largest = value_and_largest(PAPER[name], MINIMIZERS[name])
    assert PAPER[name].minima[0] == 0.0
    assert loss < 1e-20
    assert largest < 1e-8


@pytest.mark.parametrize("name", SEARCHED)
def test_minimum_that_newton_finds_is_the_papers(name: str) -> None:
    problem = PAPER[name]
    found = newton(problem)
    assert any(found.fun == pytest.approx(f, rel=5e-6, abs=1e-15) for f in problem.minima)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_second_minimum(name: str) -> None:
    loss, largest = value_and_largest(PAPER[name], ELSEWHERE[name])
    assert loss == pytest.approx(PAPER[name].minima[1], rel=1e-5)
    assert largest < 1e-4


def test_broyden_tridiagonal_has_a_root() -> None:
    x = PAPER["Broyden tridiagonal 1000"].start()
    for _ in range(8):
        jacobian = torch.func.jacrev(more_garbow_hillstrom.broyden_tridiagonal)(x)
        x = x - torch.linalg.solve(jacobian, more_garbow_hillstrom.broyden_tridiagonal(x))
    loss, largest = value_and_largest(PAPER["Broyden tridiagonal 1000"], x)
    assert loss < 1e-20
    assert largest < 1e-8


@pytest.mark.parametrize("name", [*PAPER, *CASES])
def test_gradient_agrees_with_differences(name: str) -> None:
    problem = (PAPER | CASES)[name]
    x = away_from(problem.start()).requires_grad_()
    atol = 1e-5 * value_and_gradient(problem, x)[1].abs().max().item()
    tolerances = {"atol": atol, "rtol": 1e-5}
    torch.autograd.gradcheck(problem.loss, x, eps=1e-4, fast_mode=len(x) > 99, **tolerances)


@pytest.mark.parametrize("name", CASES)
def test_case_is_solved_where_it_is_least(name: str) -> None:
    case = CASES[name]
    least = LEAST.get(name, 1.0 if "Rosenbrock" in name or "quadratic" in name else 0.0)
    loss, largest = value_and_largest(case, torch.full_like(case.start(), least))
    assert loss == case.minima[0]
    assert largest <= case.target / 10


@pytest.mark.parametrize("name", ["1000 x - log x", "50 x^2 - sqrt x"])
def test_first_trial_leaves_the_domain(name: str) -> None:
    start = CASES[name].start()
    _, gradient = value_and_gradient(CASES[name], start)
    loss, steepest = value_and_gradient(CASES[name], start - gradient / gradient.abs().sum())
    assert not (loss.isfinite() and steepest.isfinite().all())


def test_offset_hides_the_last_digits_of_the_loss() -> None:
    case = CASES["Rosenbrock 10 + 1e+08"]
    near = torch.ones(10, dtype=torch.float64) + 1e-7
    loss, largest = value_and_largest(case, near)
    assert loss == case.minima[0]
    assert largest > case.target
