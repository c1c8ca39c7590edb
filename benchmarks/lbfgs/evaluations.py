"""How many evaluations each solver takes, and what it solves."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.lbfgs import applied, ill_behaved, more_garbow_hillstrom
from benchmarks.lbfgs.problem import Problem
from benchmarks.lbfgs.runs import PEERS, Run, searches, solvers
from benchmarks.lbfgs.table import Figure, Goal, row

Runs = Mapping[str, Run]
Rows = Iterator[dict[str, Any]]
SHARE_OF_SCIPY = 650 / 644
SHARE_OF_BETTER_PEER = 1.05


def measure() -> Rows:
    """Yield a row for each problem, and the totals of each collection."""
    yield from collection("Moré-Garbow-Hillstrom", more_garbow_hillstrom.PROBLEMS, 21, True)
    yield from collection("ill-behaved", ill_behaved.PROBLEMS, 9, False)
    for name, problems in applied.families():
        yield family(name, problems)


def collection(name: str, problems: Sequence[Problem], least: int, summed: bool) -> Rows:
    """Yield a row for each problem, then how many each solver solved, summed up and told."""
    table: list[Runs] = []
    for problem in problems:
        runs = {solver: solve(problem) for solver, solve in solvers().items()}
        table.append(runs)
        summary = _summary({solver: [run] for solver, run in runs.items()})
        yield row(problem.name, "evaluations", _counts(runs), summary=summary)
    solved = _each(lambda runs: sum(run.solved for run in runs), table)
    yield row(f"{name}: solved", "problems", solved, Goal(solved[_first()], least, least=True))
    told = _each(_truths, table)
    goal = Goal(told[_first()], len(problems), least=True)
    yield row(f"{name}: truthful about it", "problems", told, goal)
    if summed:
        yield total(name, table)


def total(name: str, table: Sequence[Runs]) -> dict[str, Any]:
    """Return the row of evaluations on the problems that torch and scipy both solve.

    A solver that fails one of them has no sum.
    """
    common = [runs for runs in table if all(runs[peer].solved for peer in PEERS)]
    sums = _each(_sum, common)
    share = _share(sums[_first()], sums["scipy"])
    return row(f"{name}: {len(common)} in common", "evaluations", sums, Goal(share, SHARE_OF_SCIPY))


def family(name: str, problems: Sequence[Problem]) -> dict[str, Any]:
    """Return the row of one problem, or of the medians over its seeds."""
    runs = {s: [solve(problem) for problem in problems] for s, solve in solvers().items()}
    medians = {solver: _median(each) for solver, each in runs.items()}
    better = min((m for p in PEERS if (m := medians[p]) is not None), default=None)
    goal = Goal(_share(medians[_first()], better), SHARE_OF_BETTER_PEER)
    return row(name, "evaluations", medians, goal, summary=_summary(runs))


def _first() -> str:
    """Return the line search that is judged: the recommended one, as soon as it exists."""
    return searches()[0]


def _counts(runs: Runs) -> dict[str, Figure]:
    return {name: run.evaluations if run.solved else None for name, run in runs.items()}


def _summary(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Return what the runs of each solver came to; the runs themselves aren't kept."""
    return {
        solver: {
            "runs": len(each),
            "solved": sum(run.solved for run in each),
            "evaluations": [min(run.evaluations for run in each), max(r.evaluations for r in each)],
            "says": sorted({run.says for run in each if run.says is not None}),
        }
        for solver, each in runs.items()
    }


def _each(figure: Callable[[list[Run]], Figure], table: Sequence[Runs]) -> dict[str, Figure]:
    return {solver: figure([runs[solver] for runs in table]) for solver in solvers()}


def _truths(runs: list[Run]) -> Figure:
    """Return on how many problems a solver says rightly whether it succeeded; None if it can't."""
    if all(run.claims is None for run in runs):
        return None
    return sum(run.claims is run.solved for run in runs)


def _sum(runs: list[Run]) -> Figure:
    return sum(run.evaluations for run in runs) if all(run.solved for run in runs) else None


def _median(runs: Sequence[Run]) -> Figure:
    """Return the median, where a run that failed took longer than any other; None if that's it."""
    counts = [run.evaluations if run.solved else float("inf") for run in runs]
    middle = statistics.median(counts)
    return None if middle == float("inf") else middle


def _share(mine: Figure, theirs: Figure) -> Figure:
    return None if mine is None or theirs is None else mine / theirs
