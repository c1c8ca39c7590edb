"""One solver on one problem: how many evaluations it takes, and whether it gets there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import scipy.optimize
import torch
from attrs import define, frozen
from threadpoolctl import threadpool_limits
from torch import Tensor

import optkit
from benchmarks.lbfgs.problem import Problem, value_and_gradient

HISTORY = 10
RECOMMENDED = "hager_zhang"
SEARCHES = (RECOMMENDED, "more_thuente", "strong_wolfe", "backtracking")
PEERS = ("torch", "scipy")


@frozen
class Run:
    """What came of one solver on one problem.

    Attributes:
        evaluations: How often loss and gradient were computed until the solver stopped, which
            it does by itself at the first iterate that meets the problem's target.
        largest: The largest gradient element, in magnitude, at the point that it returned.
        loss: The loss there.
        solved: Whether that gradient meets the target; what the solver says doesn't count.
        says: What the solver gave as its reason to stop; None from torch, which says nothing.
        claims: Whether the solver says that it succeeded; None where it says nothing.
    """

    evaluations: int
    largest: float
    loss: float
    solved: bool
    says: str | None = None
    claims: bool | None = None


@define
class Counted:
    """A problem that counts its evaluations."""

    problem: Problem
    evaluations: int = 0

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.evaluations += 1
        return value_and_gradient(self.problem, x)

    def run(self, end: Tensor, says: str | None = None, claims: bool | None = None) -> Run:
        """Return the record of a run that ended at this point."""
        loss, gradient = value_and_gradient(self.problem, end)
        largest = gradient.abs().max().item()
        solved = largest <= self.problem.target
        return Run(self.evaluations, largest, loss.item(), solved, says, claims)


def solvers() -> dict[str, Callable[[Problem], Run]]:
    """Return the peers, and optkit with each line search that it has, by name."""
    mine = {name: partial(by_optkit, search=name) for name in searches()}
    return {"torch": by_torch, "scipy": by_scipy, **mine}


def searches() -> list[str]:
    """Return the names of the line searches that this version of optkit accepts."""
    return [name for name in SEARCHES if _accepted(name)]


def _accepted(search: str) -> bool:
    try:
        optkit.create("lbfgs", [torch.zeros(1, requires_grad=True)], line_search_fn=search)
    except optkit.HyperparameterError:
        return False
    return True


def by_torch(problem: Problem) -> Run:
    """Run torch.optim.LBFGS with its line search, in one step."""
    return _one_step(problem, partial(torch.optim.LBFGS, line_search_fn="strong_wolfe"))


def by_optkit(problem: Problem, search: str) -> Run:
    """Run optkit's L-BFGS with this line search, in one step."""
    return _one_step(problem, partial(optkit.create, "lbfgs", line_search_fn=search))


def _one_step(problem: Problem, make: Callable[..., Any]) -> Run:
    """Return what one step comes to; further steps would be restarts, which the peers don't get."""
    x, counted = problem.start().requires_grad_(), Counted(problem)
    optimizer = make(
        [x],
        history_size=HISTORY,
        max_iter=problem.budget,
        max_eval=problem.budget,
        tolerance_grad=problem.target,
        tolerance_change=0.0,
    )

    def closure() -> Tensor:
        loss, x.grad = counted(x)
        return loss

    try:
        optimizer.step(closure)
    except (ArithmeticError, LookupError, RuntimeError) as error:
        return counted.run(x.detach(), f"raised {type(error).__name__}", False)
    result = getattr(optimizer, "result", None)
    return counted.run(x.detach(), *_told(result))


def _told(result: Any) -> tuple[str | None, bool | None]:
    return (None, None) if result is None else (str(result.reason), bool(result.success))


def by_scipy(problem: Problem) -> Run:
    """Run scipy's L-BFGS-B without bounds, its BLAS on one thread."""
    counted = Counted(problem)

    def value(x: Any) -> Any:
        loss, gradient = counted(torch.tensor(x))
        return loss.item(), gradient.numpy()

    start, most = problem.start().numpy(), {"maxiter": problem.budget, "maxfun": problem.budget}
    options = {"maxcor": HISTORY, "gtol": problem.target, "ftol": 0.0, **most}
    with threadpool_limits(1):
        end = scipy.optimize.minimize(value, start, jac=True, method="L-BFGS-B", options=options)
    return counted.run(torch.from_numpy(end.x), end.message, bool(end.success))
