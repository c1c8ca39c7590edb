"""The L-BFGS benchmark counts and judges rightly; its times are nobody's business here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from benchmarks.__main__ import as_json
from benchmarks.lbfgs import evaluations, ill_behaved, more_garbow_hillstrom, runs
from benchmarks.lbfgs.bowl import Bowl
from benchmarks.lbfgs.dispatches import counted
from benchmarks.lbfgs.networks import initial, layers, network, with_second_derivative
from benchmarks.lbfgs.overhead import in_turn
from benchmarks.lbfgs.problem import Problem
from benchmarks.lbfgs.runs import Run
from benchmarks.lbfgs.sides import Side
from benchmarks.lbfgs.table import Goal, number, row

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
PAPER = {problem.name: problem for problem in more_garbow_hillstrom.PROBLEMS}
SOLVED = Run(10, 1e-7, 0.0, True, "gradient", True)
FAILED = Run(99, 1e-2, 0.5, False, "gradient", True)


def counting(problem: Problem) -> tuple[Problem, list[Tensor]]:
    """Return the same problem, and the list that it puts each point into."""
    points: list[Tensor] = []

    def loss(x: Tensor) -> Tensor:
        points.append(x.detach().clone())
        return problem.loss(x)

    return attrs.evolve(problem, loss=loss), points


@pytest.mark.parametrize("solver", ["torch", "scipy", "strong_wolfe"])
def test_every_evaluation_counts(solver: str) -> None:
    problem, points = counting(PAPER["Beale"])
    run = runs.solvers()[solver](problem)
    assert run.solved and run.largest <= problem.target
    assert run.evaluations == len(points) - 1  # the last one looks at the end
    torch.testing.assert_close(points[-1], torch.tensor([3.0, 0.5]).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("solver", ["torch", "scipy"])
def test_a_peer_that_leaves_the_domain_has_failed(solver: str) -> None:
    case = next(case for case in ill_behaved.PROBLEMS if case.name == "1000 x - log x")
    assert not runs.solvers()[solver](case).solved


def test_what_a_solver_claims_does_not_count() -> None:
    run = runs.by_scipy(PAPER["Jennrich-Sampson"])
    assert run.claims and not run.solved


def test_a_solver_that_raises_has_failed() -> None:
    def loss(x: Tensor) -> Tensor:
        raise ZeroDivisionError

    start = PAPER["Beale"].start
    with pytest.raises(ZeroDivisionError):
        runs.by_torch(Problem("broken", start, loss))
    calls: list[int] = []

    def late(x: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return x.square().sum()

    run = runs.by_torch(Problem("breaks once", start, late))
    assert (run.solved, run.claims, run.says) == (False, False, "raised ZeroDivisionError")


def test_a_line_search_that_does_not_exist_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SEARCHES", ("sideways", "strong_wolfe"))
    assert runs.searches() == ["strong_wolfe"]
    assert list(runs.solvers()) == ["torch", "scipy", "strong_wolfe"]


def test_total_is_over_what_both_peers_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SEARCHES", ("strong_wolfe",))
    both = {"torch": SOLVED, "scipy": SOLVED, "strong_wolfe": SOLVED}
    one = {"torch": SOLVED, "scipy": FAILED, "strong_wolfe": SOLVED}
    total = evaluations.total("some", [both, both, one])
    assert total["sides"] == {"torch": 20, "scipy": 20, "strong_wolfe": 20}
    assert total["goal"]["met"]
    ours = evaluations.total("some", [both, {**both, "strong_wolfe": FAILED}])
    assert ours["sides"]["strong_wolfe"] is None and not ours["goal"]["met"]


def test_a_failed_seed_counts_as_the_longest() -> None:
    assert evaluations._median([SOLVED, FAILED, SOLVED]) == 10
    assert evaluations._median([SOLVED, FAILED, FAILED]) is None


def test_runs_are_summed_up() -> None:
    summary = evaluations._summary({"torch": [SOLVED, FAILED], "scipy": [FAILED]})
    assert summary["torch"]["evaluations"] == [10, 99]
    assert [summary[side]["solved"] for side in summary] == [1, 0]
    assert summary["scipy"]["runs"] == 1


def test_results_are_a_line_for_each_row() -> None:
    rows = [{"what": "α", "ratio": 1.5}, {"what": "b", "ratio": None}]
    text = as_json({"cores": 2}, rows)
    assert json.loads(text) == {"machine": {"cores": 2}, "rows": rows}
    assert len(text.splitlines()) == 5 + len(rows)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_stay_small(path: Path) -> None:
    """Summaries, not raw runs."""
    assert path.stat().st_size < 50_000


def test_goals() -> None:
    assert Goal(1.0, 1.0).met() and not Goal(1.1, 1.0).met()
    assert Goal(21, 21, least=True).met() and not Goal(20, 21, least=True).met()
    assert not Goal(None, 1.0).met() and not Goal(float("nan"), 1.0).met()
    printed = row("what", "unit", {"torch": 3, "scipy": None}, Goal(2, 1))["printed"]
    assert "torch       3  scipy       -  2 (at most 1) MISSED" in printed
    assert [number(f) for f in (7, 1234.5, 12.34, 1.234)] == ["7", "1234", "12.3", "1.23"]


def test_operations_and_reads_are_counted() -> None:
    x = torch.ones(3)
    assert counted(lambda: x.add(1).mul(2)) == (2, 0)
    assert counted(lambda: x.sum().item()) == (2, 1)
    assert counted(lambda: bool(x.sum() > 0))[1] == 1
    assert counted(x.tolist) == (0, 1)


def test_sides_take_turns() -> None:
    order: list[str] = []

    def side(name: str, figure: float) -> Any:
        return lambda: order.append(name) or figure

    assert in_turn({"a": side("a", 1.0), "b": side("b", 2.0)}, 2) == {"a": 1.0, "b": 2.0}
    assert "".join(order) == "abba"


def test_a_side_that_stops_early_is_not_measured() -> None:
    bowl = Bowl(4)
    lazy = Side(lambda params, **_: torch.optim.LBFGS(params, max_iter=2), bowl.start(), bowl, 3, 9)
    with pytest.raises(RuntimeError, match="stopped before 9 iterations"):
        lazy.step()


def test_bowl_has_the_gradient_that_autograd_finds() -> None:
    bowl, x = Bowl(7), torch.linspace(-2, 2, 7, dtype=torch.float64).requires_grad_()
    loss = (bowl.rates * (x**2 / 2 + x**4 / 4)).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(bowl(x), (loss.detach(), gradient))


def test_second_derivative_of_a_network() -> None:
    stack = layers(initial((1, 5, 4, 1), 0), (1, 5, 4, 1))
    places = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None].requires_grad_()
    value = network(places, stack)
    (first,) = torch.autograd.grad(value.sum(), places, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), places)
    torch.testing.assert_close(with_second_derivative(places.detach(), stack), (value, second))
