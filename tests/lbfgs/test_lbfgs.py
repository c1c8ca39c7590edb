"""L-BFGS: in step with torch's where torch's is right, and right by itself."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from minimization import (
    ALL_SEARCHES,
    CLOSE,
    PROBLEMS,
    SEARCHES,
    STORAGE,
    Problem,
    assert_same_run,
    flat,
    logistic,
    mlp,
    rosenbrock,
    rosenbrock10,
    run,
)

from optkit_core import HyperparameterError
from optkit_plugins.lbfgs import LBFGS

ENOUGH = {"max_iter": 12, "max_eval": 100}
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "short memory": {"history_size": 3},
    "one iteration": {"max_iter": 1, "max_eval": 100},
    "loose gradient": {"tolerance_grad": 1e-1},
    "loose change": {"tolerance_change": 1e-3},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "options"),
    [(torch.float32, {"max_iter": 5}), *((torch.float64, options) for options in OPTIONS.values())],
    ids=["float32", *OPTIONS],
)
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_is_in_step_with_torch(
    problem: Callable[[torch.dtype], Problem],
    dtype: torch.dtype,
    search: str | None,
    storage: str,
    options: dict[str, Any],
) -> None:
    given = {"lr": 1.0 if search else 0.05, "line_search_fn": search, **ENOUGH, **options}
    count = 1 if dtype == torch.float32 else 4
    ours = run(LBFGS, problem(dtype), implementation=storage, **given).step(count)
    theirs = run(torch.optim.LBFGS, problem(dtype), **given).step(count)
    assert_same_run(ours, theirs, **CLOSE[dtype])
    state, expected = (r.optimizer.state_dict()["state"][0] for r in (ours, theirs))
    assert expected.keys() - {"al"} <= state.keys()
    assert state["n_iter"] == expected["n_iter"] and state["func_evals"] == expected["func_evals"]
    assert len(state.get("old_dirs", [])) == len(expected.get("old_dirs", []))


@pytest.mark.parametrize("lr", [0.003, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("seed", range(8))
def test_the_line_search_is_in_step_on_wavy_losses(seed: int, lr: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b, c, start = 3 * torch.rand(4, 3, generator=generator, dtype=torch.float64)

    def loss(params: Any) -> Any:
        x = params[0]
        return (c * (1 + x * x).sqrt() + a * (4 * b * x).sin()).sum()

    given: dict[str, Any] = {"lr": lr, "max_iter": 5, "max_eval": 100}
    given["line_search_fn"] = "strong_wolfe"
    ours = run(LBFGS, Problem([start], loss), **given).step(2)
    theirs = run(torch.optim.LBFGS, Problem([start], loss), **given).step(2)
    assert_same_run(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("search", SEARCHES)
def test_tensor_lr_is_in_step_too(search: str | None, shape: tuple[int, ...]) -> None:
    lr = torch.full(shape, 0.25, dtype=torch.float64)
    given = {"lr": lr, "line_search_fn": search, **ENOUGH}
    ours = run(LBFGS, mlp(torch.float64), **given).step(4)
    theirs = run(torch.optim.LBFGS, mlp(torch.float64), **given).step(4)
    assert_same_run(ours, theirs, **CLOSE[torch.float64])


def test_a_scheduler_that_writes_into_a_tensor_lr_does_not_rewrite_the_last_step() -> None:
    optimizer = run(LBFGS, mlp(torch.float64), lr=torch.tensor(0.1), max_iter=4).step()
    numbers = run(LBFGS, mlp(torch.float64), lr=torch.tensor(0.1).item(), max_iter=4).step()
    optimizer.optimizer.param_groups[0]["lr"].fill_(0.2)
    numbers.optimizer.param_groups[0]["lr"] = torch.tensor(0.2).item()
    torch.testing.assert_close(optimizer.step(2).path, numbers.step(2).path, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("search", ALL_SEARCHES[1:])
@pytest.mark.parametrize("problem", [rosenbrock, rosenbrock10, logistic])
def test_finds_the_minimum_that_scipy_finds(
    problem: Callable[[torch.dtype], Problem], search: str
) -> None:
    exact = {"max_iter": 400, "tolerance_grad": 1e-9, "tolerance_change": 0.0}
    ours = run(LBFGS, problem(torch.float64), line_search_fn=search, **exact).step(1)
    shapes = [p.shape for p in ours.params]

    def objective(vector: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        pieces = torch.from_numpy(vector).split_with_sizes([math.prod(shape) for shape in shapes])
        params = [q.reshape(s).requires_grad_() for q, s in zip(pieces, shapes, strict=True)]
        loss = problem(torch.float64).loss(params)
        return loss.item(), torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss, params)]
        ).numpy()

    start = flat(problem(torch.float64).params()).numpy()
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
    found = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    assert ours.loss(ours.params).item() == pytest.approx(found.fun, rel=1e-10, abs=1e-14)
    assert ours.optimizer.result.success


@pytest.mark.parametrize("search", ALL_SEARCHES)
def test_a_step_length_of_zero_moves_nothing(search: str | None) -> None:
    ours = run(LBFGS, mlp(torch.float64), lr=0.0, line_search_fn=search).step(2)
    assert all(torch.equal(point, flat(mlp(torch.float64).start)) for point in ours.path)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    "returned", [1, 1.5, torch.tensor([1]), torch.tensor(2.0), np.float64(3)], ids=repr
)
def test_step_returns_what_the_closure_returned_first(search: str | None, returned: Any) -> None:
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    optimizer = LBFGS([weight], lr=0.01, line_search_fn=search)
    assert all(optimizer.step(lambda: returned) is returned for _ in range(3))


@pytest.mark.parametrize("seed", range(25))
def test_whatever_the_closure_answers_without_a_search_both_do_the_same(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    losses = torch.randint(-3, 3, (400,), generator=generator).double().cumsum(0) / 4
    gradients = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    ends = []
    for cls in (LBFGS, torch.optim.LBFGS):
        weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        calls = iter(range(400))

        def closure(weight: torch.Tensor = weight, calls: Iterator[int] = calls) -> float:
            call = next(calls)
            weight.grad = gradients[call].clone()
            return losses[call].item()

        optimizer = cls([weight], max_iter=6, max_eval=12, tolerance_change=0.0)
        optimizer.step(closure)
        ends.append((weight.detach(), next(calls)))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-6, atol=1e-9)


def test_defaults_are_those_of_torch() -> None:
    ours, theirs = (cls([torch.zeros(1)]) for cls in (LBFGS, torch.optim.LBFGS))
    assert theirs.defaults.items() <= ours.defaults.items()
    group = {key: value for key, value in theirs.param_groups[0].items() if key != "params"}
    assert group.items() <= ours.param_groups[0].items()
    assert LBFGS([torch.zeros(1)], max_iter=8).param_groups[0]["max_eval"] == 10
    assert LBFGS([torch.zeros(1)], 1, 8, 3).param_groups[0]["max_eval"] == 3


def test_the_class_is_pickled_by_its_stable_name() -> None:
    assert LBFGS.__module__ == "optkit_plugins.lbfgs"
    assert pickle.loads(pickle.dumps(LBFGS)) is LBFGS


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1.0},
        {"lr": torch.ones(2)},
        {"max_iter": -1},
        {"max_iter": 2.5},
        {"max_eval": -1},
        {"tolerance_grad": math.nan},
        {"tolerance_change": math.nan},
        {"history_size": 0},
        {"line_search_fn": "weak_wolfe"},
        {"line_search_fn": 3},
        {"initial_step": "long"},
        {"history_dtype": torch.int32},
        {"history_dtype": "float8"},
        {"maximize": "yes"},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(HyperparameterError, match=next(iter(options))):
        LBFGS([torch.zeros(1)], **options)


def test_the_names_of_the_searches_are_said_to_who_asks_for_another() -> None:
    with pytest.raises(HyperparameterError, match=r"'strong_wolfe' \| 'hager_zhang'.*a function"):
        LBFGS([torch.zeros(1)], line_search_fn="armijo")


def test_the_storage_is_explained_and_can_be_asked_for() -> None:
    params = [torch.zeros(3), torch.zeros(2)]
    (bucket,) = LBFGS(params).explain().buckets
    assert bucket.implementation == "fused"
    assert set(bucket.rejected) == {"flat", "foreach", "forloop"}
    (asked,) = LBFGS(params, implementation="forloop").explain().buckets
    assert (asked.implementation, asked.reason) == (
        "forloop",
        "requested by the argument implementation=",
    )


def test_the_loss_after_the_step_is_known() -> None:
    """torch returns the loss of before, and nothing else; scripts rely on that."""
    ours = run(LBFGS, mlp(torch.float64), line_search_fn="strong_wolfe").step()
    theirs = run(torch.optim.LBFGS, mlp(torch.float64), line_search_fn="strong_wolfe").step()
    assert ours.returned == theirs.returned
    assert ours.optimizer.result.loss == ours.loss(ours.params).item() < ours.returned[0]
