"""Time per iteration outside the closure, with a full history."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import scipy.optimize
import torch
from threadpoolctl import threadpool_limits

from benchmarks.lbfgs.bowl import Bowl
from benchmarks.lbfgs.problem import value_and_gradient
from benchmarks.lbfgs.rosenbrock import chained
from benchmarks.lbfgs.sides import Clock, Make, Side, makers, on_chain
from benchmarks.lbfgs.table import Goal, row
from benchmarks.pairs import seconds

Rows = Iterator[dict[str, Any]]
SMALL = (100, 1_000)
LARGE = {100_000: 25, 1_000_000: 9, 10_000_000: 3}
"""The most repeats at each size, which take about as long as each other."""
HISTORY = 10
ITERATIONS = 20
"""In a step, torch's default."""
ALLOWED = {10: 100e-6, 100: 130e-6}
TORCH_TOOK = {10: 240e-6, 100: 1_200e-6}
"""What torch took on the machine that the limits were set on; a slower one is allowed more."""
READS = 2
READ_SHARE = 1.3
BUFFER = 2**26
"""Elements whose reading tells the bandwidth: 512 MiB, far beyond any cache."""
COPIES = 120
"""Copies of the parameters that must be free, for all sides at once."""


def measure(repeats: int) -> Rows:
    """Yield the rows for small and for large problems, on one thread and on two."""
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for history in ALLOWED:
            for n in SMALL:
                yield small(n, history, threads, min(repeats, 15))
        for n, most in LARGE.items():
            if COPIES * n * 8 < free_bytes():
                yield large(n, threads, min(repeats, most))


def small(n: int, history: int, threads: int, repeats: int) -> dict[str, Any]:
    """Return the row of a size at which only the number of operations counts."""
    sides = {
        name: lambda make=make: outside(on_chain(make, n, history))
        for name, make in makers().items()
    }
    medians = in_turn({**sides, "scipy": lambda: scipy_outside(n, history, 20)}, repeats)
    allowed = ALLOWED[history] * max(1.0, medians["torch"] / TORCH_TOOK[history])
    return _row(n, history, threads, {**medians, "allowed": allowed})


def large(n: int, threads: int, repeats: int) -> dict[str, Any]:
    """Return the row of a size at which only the traffic of memory counts."""
    sides = {name: partial(outside, on_bowl(make, n)) for name, make in makers().items()}
    medians = in_turn({**sides, "reading": reading(n)}, repeats)
    allowed = min(READ_SHARE * medians["reading"], medians["torch"])
    return _row(n, HISTORY, threads, {**medians, "allowed": allowed})


def on_bowl(make: Make, n: int) -> Side:
    """Return this optimizer on a bowl of its own, its history full."""
    bowl = Bowl(n)
    return Side(make, bowl.start(), bowl, HISTORY, ITERATIONS).filled()


def in_turn(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Return each side's median; they take turns, and every other round in reverse."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats):
        for name in list(sides)[:: -1 if repeat % 2 else 1]:
            figures[name].append(sides[name]())
    return {name: statistics.median(each) for name, each in figures.items()}


def outside(side: Side) -> float:
    """Return the seconds per iteration that a step spends outside the closure."""
    before = side.clock.seconds
    whole = seconds(side.step)
    return (whole - (side.clock.seconds - before)) / side.iterations


def scipy_outside(n: int, history: int, iterations: int) -> float:
    """Return the same of scipy's L-BFGS-B, its BLAS on one thread."""
    problem, marks = chained(n), []

    def value(x: Any) -> Any:
        loss, gradient = value_and_gradient(problem, torch.from_numpy(x))
        return loss.item(), gradient.numpy()

    clock = Clock(value)

    def mark(_: Any) -> None:
        marks.append(time.perf_counter() - clock.seconds)

    options = {"maxcor": history, "maxiter": history + 1 + iterations, "gtol": 0.0, "ftol": 0.0}
    start = problem.start().numpy()
    with threadpool_limits(1, user_api="blas"):
        scipy.optimize.minimize(
            clock, start, jac=True, method="L-BFGS-B", options=options, callback=mark
        )
    return (marks[-1] - marks[-1 - iterations]) / iterations


def reading(n: int) -> Callable[[], float]:
    """Return what measures how long it takes to read a history of this size twice."""
    buffer = torch.ones(BUFFER, dtype=torch.float64)
    elements = READS * 2 * HISTORY * n
    return lambda: seconds(buffer.sum) * elements / BUFFER


def free_bytes() -> int:
    """Return the memory that is free without swapping; Linux only, elsewhere all of it."""
    key = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(key) * os.sysconf("SC_PAGE_SIZE")


def _row(n: int, history: int, threads: int, medians: Mapping[str, float]) -> dict[str, Any]:
    microseconds = {name: figure * 1e6 for name, figure in medians.items()}
    judged = next(figure for name, figure in medians.items() if name != "torch")
    goal = Goal(judged / medians["allowed"], 1.0)
    what = f"outside the closure, n={n:.0e}, m={history}"
    return row(what, "us/iteration", microseconds, goal, threads)
