"""When a step of L-BFGS ends: the same limits as torch's, whatever their values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from minimization import CLOSE, SEARCHES, STORAGE, Problem, assert_same_run, mlp, rosenbrock10, run

import optkit
from optkit_core import HyperparameterError
from optkit_plugins.lbfgs import LBFGS

SLOW = {"lr": 0.02, "tolerance_grad": 0.0, "tolerance_change": 0.0}
TOLERANCES = ("tolerance_grad", "tolerance_change")


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("max_iter", range(1, 26))
def test_without_a_search_max_eval_is_torchs(max_iter: int, storage: str) -> None:
    given = {**SLOW, "max_iter": max_iter}
    ours = run(LBFGS, mlp(torch.float64), implementation=storage, **given).step(3)
    theirs = run(torch.optim.LBFGS, mlp(torch.float64), **given).step(3)
    assert_same_run(ours, theirs, **CLOSE[torch.float64])
    assert ours.optimizer.param_groups[0]["max_eval"] == max_iter * 5 // 4
    assert ours.optimizer.defaults["max_eval"] == max_iter * 5 // 4


@pytest.mark.parametrize("max_eval", [1, 2, 3, 4, 7, 30])
@pytest.mark.parametrize("max_iter", [1, 2, 3, 8, 25])
def test_without_a_search_a_cap_cuts_where_torch_does(max_iter: int, max_eval: int) -> None:
    given = {**SLOW, "max_iter": max_iter, "max_eval": max_eval}
    ours = run(LBFGS, rosenbrock10(torch.float64), **given).step(4)
    theirs = run(torch.optim.LBFGS, rosenbrock10(torch.float64), **given).step(4)
    torch.testing.assert_close(ours.path, theirs.path, **CLOSE[torch.float64])
    assert ours.calls <= min(theirs.calls, 4 * max_eval)


@pytest.mark.parametrize("search", ["strong_wolfe", "hager_zhang", lambda line, step: None])
@pytest.mark.parametrize(("max_iter", "expected"), [(0, 4), (1, 4), (3, 4), (4, 5), (20, 25)])
def test_a_search_may_try_something_in_the_shortest_step(
    max_iter: int, expected: int, search: Any
) -> None:
    optimizer = LBFGS([torch.zeros(1)], max_iter=max_iter, line_search_fn=search)
    assert optimizer.param_groups[0]["max_eval"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("value", [math.inf, -math.inf, -1e-9, -1.0])
@pytest.mark.parametrize("name", TOLERANCES)
def test_a_tolerance_may_end_a_step_at_once_or_never(
    name: str, value: float, search: str | None, storage: str
) -> None:
    given = {"lr": 0.5, "line_search_fn": search, "max_iter": 30, "max_eval": 200, name: value}
    ours = run(LBFGS, mlp(torch.float64), implementation=storage, **given).step(2)
    theirs = run(torch.optim.LBFGS, mlp(torch.float64), **given).step(2)
    assert_same_run(ours, theirs, **CLOSE[torch.float64])
    assert ours.calls == 2 if value == math.inf else ours.calls >= 60
    state, expected = (r.optimizer.state_dict()["state"][0] for r in (ours, theirs))
    assert state["n_iter"] == expected["n_iter"] and state["func_evals"] == expected["func_evals"]


@pytest.mark.parametrize("name", TOLERANCES)
def test_without_a_gradient_a_step_that_never_ends_stays(name: str) -> None:
    def loss(params: Any) -> Any:
        return 0 * params[0].sum()

    given = {"max_iter": 6, "tolerance_grad": -1.0, "tolerance_change": -1.0, name: -math.inf}
    ours = run(LBFGS, Problem([torch.ones(3)], loss), **given).step(2)
    theirs = run(torch.optim.LBFGS, Problem([torch.ones(3)], loss), **given).step(2)
    assert_same_run(ours, theirs)


@pytest.mark.parametrize("name", TOLERANCES)
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_tolerance_is_saved_and_loaded(name: str, value: float, tmp_path: Any) -> None:
    saved = run(LBFGS, mlp(torch.float64), **{name: value}).step().optimizer
    loaded = run(LBFGS, mlp(torch.float64)).optimizer
    optkit.save(saved, tmp_path / "state")
    optkit.load(loaded, tmp_path / "state")
    assert loaded.param_groups[0][name] == value


@pytest.mark.parametrize("name", TOLERANCES)
@pytest.mark.parametrize("value", [math.nan, "inf", None, torch.tensor([1.0, 2.0]), 1j])
def test_what_is_no_tolerance_is_refused(name: str, value: Any) -> None:
    with pytest.raises(HyperparameterError, match=name):
        LBFGS([torch.zeros(1)], **{name: value})


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_rate_is_finite(value: float) -> None:
    with pytest.raises(HyperparameterError, match=r"lr must be in \[0, inf\)"):
        LBFGS([torch.zeros(1)], lr=value)
