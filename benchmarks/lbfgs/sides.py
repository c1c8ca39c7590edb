"""The optimizers that are measured, on minimizations longer than the measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from attrs import define
from torch import Tensor

import optkit
from benchmarks.lbfgs.problem import value_and_gradient
from benchmarks.lbfgs.rosenbrock import chained
from benchmarks.lbfgs.runs import searches

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
Make = Callable[..., Any]
UNENDING: dict[str, Any] = {"tolerance_grad": 0.0, "tolerance_change": 0.0, "max_eval": 10**9}


@define
class Clock:
    """A function that knows how long it took in all, and how often it was called."""

    function: Callable[..., Any]
    seconds: float = 0.0
    evaluations: int = 0

    def __call__(self, *args: Any) -> Any:
        start = time.perf_counter()
        found = self.function(*args)
        self.evaluations += 1
        self.seconds += time.perf_counter() - start
        return found


class Side:
    """An optimizer whose steps take a fixed number of iterations each, never fewer."""

    def __init__(
        self, make: Make, start: Tensor, evaluate: Evaluate, history: int, iterations: int
    ) -> None:
        self.x, self.evaluate, self.clock = start.requires_grad_(), evaluate, Clock(self.closure)
        self.history, self.iterations = history, iterations
        self.optimizer = make([self.x], history_size=history, max_iter=iterations)

    def closure(self) -> Tensor:
        loss, self.x.grad = self.evaluate(self.x)
        return loss

    def step(self) -> None:
        before = self.made()
        self.optimizer.step(self.clock)
        if self.made() - before != self.iterations:
            raise RuntimeError(f"{self.optimizer} stopped before {self.iterations} iterations")

    def made(self) -> int:
        """Return how many iterations there have been."""
        return int(self.optimizer.state[self.x].get("n_iter", 0))

    def filled(self) -> Side:
        """Take as many steps as fill the history and go beyond it; return the same object."""
        for _ in range(self.history // self.iterations + 2):
            self.step()
        return self


def on_chain(make: Make, n: int, history: int, iterations: int = 20) -> Side:
    """Return this optimizer on Rosenbrock's chain, its history full."""
    problem = chained(n)
    evaluate = partial(value_and_gradient, problem)
    return Side(make, problem.start(), evaluate, history, iterations).filled()


def makers() -> dict[str, Make]:
    """Return torch's L-BFGS, and optkit's with the line searches that are measured, by name.

    Those are the one that is judged, which comes first, and torch's own.
    """
    names = dict.fromkeys([searches()[0], "strong_wolfe"])
    mine = {s: partial(optkit.create, "lbfgs", line_search_fn=s, **UNENDING) for s in names}
    return {"torch": partial(torch.optim.LBFGS, line_search_fn="strong_wolfe", **UNENDING), **mine}
