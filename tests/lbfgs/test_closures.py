"""What L-BFGS asks of a closure, what it tells afterwards, and what failures leave behind."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from minimization import (
    ALL_SEARCHES,
    Params,
    Problem,
    Run,
    flat,
    mlp,
    rosenbrock,
    rosenbrock10,
    run,
)
from torch import Tensor

from optkit_plugins.lbfgs import LBFGS, ClosureError
from optkit_plugins.lbfgs.result import REASONS

each_search = pytest.mark.parametrize("search", ALL_SEARCHES)


def options(search: str | None, **more: Any) -> dict[str, Any]:
    return {"lr": 1.0 if search else 1e-3, "line_search_fn": search, **more}


def test_a_step_needs_a_closure() -> None:
    weight = torch.ones(1, requires_grad=True)
    with pytest.raises(TypeError, match=r"needs a closure, got None\. Call step\(closure\)"):
        LBFGS([weight]).step()


@each_search
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "got None"),
        (torch.ones(2), r"tensor of shape \(2,\)"),
        (torch.ones((), dtype=torch.complex64), "complex tensor"),
        (1 + 2j, r"\(1\+2j\)"),
        ("loss", "'loss'"),
    ],
)
@pytest.mark.parametrize("call", [1, 3])
def test_what_is_no_loss_is_refused_before_a_parameter_moves(
    returned: Any, said: str, search: str | None, call: int
) -> None:
    ours = run(LBFGS, rosenbrock10(torch.float64), **options(search, max_iter=5))
    seen = []

    def closure() -> Any:
        loss = ours.closure()
        seen.append(flat(ours.params))
        return returned if len(seen) == call else loss

    with pytest.raises(ClosureError, match=f"must return the loss.*{said}.*return loss"):
        ours.optimizer.step(closure)
    if call == 1:
        assert torch.equal(flat(ours.params), seen[0])
    ours.step()
    assert ours.optimizer.result.loss is None or ours.optimizer.result.loss < ours.returned[0]


@each_search
def test_a_missing_backward_is_told(search: str | None) -> None:
    weight = torch.ones(3, requires_grad=True)
    optimizer = LBFGS([weight], line_search_fn=search)
    with pytest.raises(ClosureError, match=r"no parameter has a gradient.*loss\.backward\(\)"):
        optimizer.step(lambda: weight.sum())
    assert torch.equal(weight, torch.ones(3)) and optimizer.result is None


@pytest.mark.parametrize(
    "params", [[torch.zeros(0, requires_grad=True)], [], [torch.ones(3), torch.ones(2)]], ids=str
)
def test_with_nothing_to_move_the_closure_is_called_once(params: Params) -> None:
    calls = []
    before = [p.clone() for p in params]
    assert LBFGS([{"params": params}]).step(lambda: calls.append(1) or 7.0) == 7.0
    assert calls == [1] and all(map(torch.equal, params, before))


@each_search
@pytest.mark.parametrize("failing_call", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("error", [FloatingPointError, KeyboardInterrupt])
def test_a_failing_closure_leaves_the_last_accepted_point(
    search: str | None, failing_call: int, error: type[BaseException]
) -> None:
    given = options(search, max_iter=60, max_eval=500)
    whole = run(LBFGS, rosenbrock(torch.float64), **given)
    accepted = [flat(whole.params)]
    whole.optimizer.callback = lambda progress: accepted.append(flat(whole.params))
    whole.step()
    failing = run(LBFGS, rosenbrock(torch.float64), **given)

    def closure() -> Any:
        loss = failing.closure()
        if failing.calls == failing_call:
            raise error("simulated")
        return loss

    with pytest.raises(error, match="simulated"):
        failing.optimizer.step(closure)
    assert any(torch.equal(flat(failing.params), point) for point in accepted)
    done = failing.optimizer.state[failing.params[0]].get("n_iter", 0)
    failing.optimizer.param_groups[0]["max_iter"] = 60 - done
    torch.testing.assert_close(failing.step().path, whole.path, rtol=1e-6, atol=1e-9)


@each_search
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_start_that_is_not_finite_touches_nothing(search: str | None, bad: float) -> None:
    start = torch.randn(20)
    x = start.clone().requires_grad_()
    optimizer = LBFGS([x], line_search_fn=search)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x * bad).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(x.detach(), start)
    assert optimizer.result.reason == "non_finite" and optimizer.result.evaluations == 1


def test_without_a_search_a_loss_that_is_not_finite_is_left_again() -> None:
    ours = run(LBFGS, Problem([torch.ones(4)], lambda ps: ps[0].square().sum().log()), lr=1e30)
    ours.step()
    result = ours.optimizer.result
    assert result.reason == "non_finite"
    assert torch.equal(ours.path[-1], torch.ones(4))


@each_search
@pytest.mark.parametrize("max_eval", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("max_iter", [0, 1, 2, 20])
def test_max_eval_is_a_hard_cap(search: str | None, max_iter: int, max_eval: int) -> None:
    given = options(search, max_iter=max_iter, max_eval=max_eval)
    ours = run(LBFGS, rosenbrock10(torch.float64), **given)
    for _ in range(5):
        before = ours.calls
        ours.step()
        assert ours.calls - before <= max(1, max_eval)
        assert ours.optimizer.result.evaluations == ours.calls - before
        assert ours.optimizer.result.iterations <= max_iter
    assert search is None or ours.returned == sorted(ours.returned, reverse=True)


@each_search
@pytest.mark.parametrize("max_eval", [2, 3])
def test_few_evaluations_a_step_get_there_in_the_end(search: str | None, max_eval: int) -> None:
    given = options(search, max_iter=1, max_eval=max_eval)
    ours = run(LBFGS, rosenbrock(torch.float64), **given).step(400 if search else 60)
    assert ours.returned[-1] < (1e-6 if search else 0.97 * ours.returned[0])


@each_search
def test_the_result_tells_what_happened(search: str | None) -> None:
    given = options(search, max_iter=15, max_eval=300)
    ours = run(LBFGS, mlp(torch.float64), **given)
    assert ours.optimizer.result is None
    lengths = []
    ours.optimizer.callback = lambda progress: lengths.append(progress.step)
    ours.step()
    result = ours.optimizer.result
    assert result.reason in REASONS and result.message == REASONS[result.reason]
    assert result.first_loss == ours.returned[0]
    assert result.evaluations == ours.calls == ours.optimizer.state[ours.params[0]]["func_evals"]
    assert result.iterations == len(result.steps) == 15 and result.steps == tuple(lengths)
    if search is None:
        assert result.loss is result.gradient is None
    else:
        shown = [p.grad.clone() for p in ours.params if p.grad is not None]
        assert result.loss == ours.closure().item()
        again = [p.grad for p in ours.params if p.grad is not None]
        assert len(again) == len(shown) and all(map(torch.equal, again, shown))
        assert result.gradient == max(g.abs().max().item() for g in shown)


REACHED = [
    ("gradient", {"tolerance_grad": 1e-3, "max_iter": 999}),
    ("max_iter", {"max_iter": 3}),
    ("max_eval", {"max_iter": 99, "max_eval": 9}),
    ("step_size", {"max_iter": 999, "tolerance_change": 1e-2, "tolerance_grad": 0.0}),
    ("loss_change", {"max_iter": 999, "tolerance_change": 3e-4, "tolerance_grad": 0.0}),
]


@pytest.mark.parametrize(("reason", "given"), REACHED)
def test_each_reason_is_reached(reason: str, given: dict[str, Any]) -> None:
    given = {"max_eval": 9999, "tolerance_change": 0.0, "line_search_fn": "hager_zhang", **given}
    problem = mlp(torch.float64) if reason != "step_size" else steep(torch.float64)
    result = run(LBFGS, problem, **given).step().optimizer.result
    assert result.reason == reason
    assert result.success == (reason == "gradient")


def steep(dtype: torch.dtype) -> Problem:
    return Problem([torch.full((3,), 2.0, dtype=dtype)], lambda ps: 1e6 * (ps[0] ** 4).sum())


@each_search
def test_a_callback_can_stop_a_step(search: str | None) -> None:
    ours = run(LBFGS, mlp(torch.float64), **options(search, max_iter=20, max_eval=200))
    told: list[Any] = []

    def callback(progress: Any) -> bool:
        told.append(progress)
        return progress.iteration == 4

    ours.optimizer.callback = callback
    ours.step()
    assert ours.optimizer.result.reason == "callback"
    assert [progress.iteration for progress in told] == [1, 2, 3, 4]
    assert told[-1].evaluations == ours.calls == ours.optimizer.result.evaluations
    assert told[-1].loss == ours.optimizer.result.loss
    assert told[-1].gradient == ours.optimizer.result.gradient


@each_search
def test_parameters_that_were_moved_between_steps_are_noticed(search: str | None) -> None:
    given = options(search, max_iter=4, max_eval=40, history_size=9)
    ours = run(LBFGS, rosenbrock10(torch.float64), **given).step()
    before = len(ours.optimizer.state[ours.params[0]]["old_dirs"])
    with torch.no_grad():
        for p in ours.params:
            p.data.add_(0.05)
    ours.optimizer.param_groups[0]["max_iter"] = 1
    ours.step()
    assert len(ours.optimizer.state[ours.params[0]]["old_dirs"]) == before
    ours.step()
    assert len(ours.optimizer.state[ours.params[0]]["old_dirs"]) == before + 1


def test_a_pair_holds_gradients_of_one_loss_when_the_loss_changes() -> None:
    generator = torch.Generator().manual_seed(0)
    scales = 1 + torch.rand(2, 8, generator=generator, dtype=torch.float64)
    x = torch.full((8,), 3.0, dtype=torch.float64, requires_grad=True)
    optimizer = LBFGS([x], line_search_fn="strong_wolfe", max_iter=1, max_eval=30)

    def stepped(batch: int) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = (scales[batch] * x**2).sum() / 2
            loss.backward()
            return loss

        optimizer.step(closure)

    for batch in (0, 1, 0):
        stepped(batch)
    state = optimizer.state[x]
    pairs = list(zip(state["old_stps"], state["old_dirs"], strict=True))
    assert len(pairs) == 2
    for (s, y), batch in zip(pairs, (0, 1), strict=True):
        torch.testing.assert_close(y, scales[batch] * s, rtol=1e-9, atol=1e-12)


def test_gradients_are_read_and_never_written_where_they_belong_to_the_point() -> None:
    weight = torch.ones(3, requires_grad=True)
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    LBFGS([weight], lr=0.01).step(lambda: 1.0)
    assert torch.equal(weight.grad, torch.tensor([1.0, 2.0, 3.0]))


def test_a_grad_scaler_is_refused_with_the_way_out() -> None:
    weight = torch.ones(3, requires_grad=True)
    optimizer = LBFGS([weight])
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = scaler.scale(weight.square().sum())
        loss.backward()
        return loss

    closure()
    for arguments in ((), (closure,)):
        with pytest.raises(ClosureError, match=r"GradScaler.*optimizer\.step\(closure\)"):
            scaler.step(optimizer, *arguments)
    assert torch.equal(weight, torch.ones(3))


def test_the_run_can_go_on_as_if_nothing_had_happened_after_a_refused_loss() -> None:
    ours = Run(*_pair())
    with pytest.raises(ClosureError):
        ours.optimizer.step(lambda: None)
    theirs = Run(*_pair()).step(3)
    assert all(map(torch.equal, ours.step(3).path, theirs.path))


def _pair() -> tuple[Any, Params, Any]:
    problem = mlp(torch.float64)
    params = problem.params()
    return LBFGS(params, line_search_fn="strong_wolfe", max_iter=3), params, problem.loss
