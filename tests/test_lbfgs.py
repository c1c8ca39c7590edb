"""L-BFGS: in lock step with torch's, right by itself, and steady where torch's crashes."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from optkit_core import GroupError, HyperparameterError
from optkit_plugins.lbfgs import LBFGS, ClosureError
from optkit_plugins.lbfgs.direction import History
from optkit_plugins.lbfgs.flat import gradient_vector, move
from optkit_plugins.lbfgs.line_search import Search, Trial, cubic_minimizer, strong_wolfe

Params = list[Tensor]
Loss = Callable[[Params], Any]
SEARCHES = (None, "strong_wolfe")
TORCH_KEYS = {
    "func_evals", "n_iter", "d", "t", "old_dirs", "old_stps", "ro", "H_diag",
    "prev_flat_grad", "prev_loss", "al",
}  # fmt: skip


@attrs.define
class Problem:
    """A loss and where its minimization starts."""

    start: Params
    loss: Loss

    def params(self) -> Params:
        return [value.clone().requires_grad_() for value in self.start]


@attrs.define
class Run:
    """An optimizer on a problem, what it returned and where it went."""

    optimizer: Any
    params: Params
    loss: Loss
    calls: int = 0
    returned: list[float] = attrs.Factory(list)
    path: list[Tensor] = attrs.Factory(list)

    def closure(self) -> Any:
        self.calls += 1
        self.optimizer.zero_grad()
        loss = self.loss(self.params)
        loss.backward()
        return loss

    def step(self, count: int = 1) -> Run:
        for _ in range(count):
            self.returned.append(self.optimizer.step(self.closure).item())
            self.path.append(flat(self.params))
        return self


def run(cls: type[Any], problem: Problem, **options: Any) -> Run:
    params = problem.params()
    return Run(cls(params, **options), params, problem.loss)


def flat(params: Params) -> Tensor:
    values = [p.detach().clone() for p in params]
    return torch.cat([(torch.view_as_real(v) if v.is_complex() else v).reshape(-1) for v in values])


def assert_same_run(ours: Run, theirs: Run) -> None:
    assert ours.calls == theirs.calls
    torch.testing.assert_close(ours.returned, theirs.returned, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(ours.path, theirs.path, rtol=0, atol=0, equal_nan=True)


def quadratic(dtype: torch.dtype) -> Problem:
    scales = torch.logspace(0, 2, 12, dtype=dtype)
    return Problem([torch.ones(12, dtype=dtype)], lambda ps: (scales * (ps[0] - 2) ** 2).sum() / 2)


def rosenbrock(dtype: torch.dtype, n: int = 2) -> Problem:
    def loss(params: Params) -> Tensor:
        x = torch.cat(params)
        return ((1 - x[:-1]) ** 2).sum() + 100 * ((x[1:] - x[:-1] ** 2) ** 2).sum()

    return Problem([torch.full((1,), -1.2, dtype=dtype), torch.ones(n - 1, dtype=dtype)], loss)


def rosenbrock10(dtype: torch.dtype) -> Problem:
    return rosenbrock(dtype, 10)


def logistic(dtype: torch.dtype) -> Problem:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(60, generator=generator, dtype=torch.float64)
    labels = (features[:, 0] - features[:, 1] + noise > 0).to(dtype)
    features = features.to(dtype)

    def loss(params: Params) -> Tensor:
        scores = features @ params[0] + params[1]
        fit = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)
        return fit + 0.01 * params[0].square().sum()

    return Problem([torch.zeros(5, dtype=dtype), torch.zeros((), dtype=dtype)], loss)


def mlp(dtype: torch.dtype) -> Problem:
    generator = torch.Generator().manual_seed(1)
    shapes = [(8, 3), (8,), (2, 8), (2,)]
    start = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) / 2 for s in shapes]
    inputs = torch.randn(20, 3, generator=generator, dtype=torch.float64).to(dtype)
    targets = torch.stack([inputs.sum(1).sin(), inputs.prod(1)], 1)

    def loss(params: Params) -> Tensor:
        hidden = (inputs @ params[0].T + params[1]).tanh()
        return (hidden @ params[2].T + params[3] - targets).square().mean()

    return Problem(start, loss)


def complex_least_squares(dtype: torch.dtype) -> Problem:
    kind = {torch.float64: torch.complex128, torch.float32: torch.complex64}[dtype]
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(9, 4, generator=generator, dtype=kind)
    target = torch.randn(9, generator=generator, dtype=kind)

    def loss(params: Params) -> Tensor:
        return (matrix @ params[0] * params[1] - target).abs().square().sum()

    return Problem([torch.zeros(4, dtype=kind), torch.ones((), dtype=dtype)], loss)


PROBLEMS = (quadratic, rosenbrock, rosenbrock10, logistic, mlp, complex_least_squares)
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "short memory": {"history_size": 3},
    "one iteration": {"max_iter": 1},
    "few evaluations": {"max_iter": 10, "max_eval": 4},
    "loose gradient": {"tolerance_grad": 1e-1},
    "loose change": {"tolerance_change": 1e-3},
}


@pytest.mark.parametrize(
    ("dtype", "options"),
    [(torch.float32, {}), *((torch.float64, options) for options in OPTIONS.values())],
    ids=["float32", *OPTIONS],
)
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_is_in_lock_step_with_torch(
    problem: Callable[[torch.dtype], Problem],
    dtype: torch.dtype,
    search: str | None,
    options: dict[str, Any],
) -> None:
    given = {"lr": 1.0 if search else 0.05, "line_search_fn": search, **options}
    ours = run(LBFGS, problem(dtype), **given).step(4)
    theirs = run(torch.optim.LBFGS, problem(dtype), **given).step(4)
    assert_same_run(ours, theirs)
    assert_same_state(ours, theirs)


def assert_same_state(ours: Run, theirs: Run) -> None:
    state, expected = (r.optimizer.state[r.params[0]] for r in (ours, theirs))
    assert state.keys() == expected.keys() <= TORCH_KEYS
    for key in expected.keys() - {"al"}:
        torch.testing.assert_close(state[key], expected[key], rtol=0, atol=0, check_dtype=False)
    assert len(state.get("al", [])) == len(expected.get("al", []))


@pytest.mark.parametrize("lr", [0.003, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("seed", range(8))
def test_the_line_search_is_in_lock_step_on_wavy_losses(seed: int, lr: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b, c, start = 3 * torch.rand(4, 3, generator=generator, dtype=torch.float64)

    def loss(params: Params) -> Tensor:
        x = params[0]
        return (c * (1 + x * x).sqrt() + a * (4 * b * x).sin()).sum()

    given: dict[str, Any] = {"lr": lr, "max_iter": 5, "max_eval": 4 + 5 * seed}
    given["line_search_fn"] = "strong_wolfe"
    ours = run(LBFGS, Problem([start], loss), **given).step(3)
    assert_same_run(ours, run(torch.optim.LBFGS, Problem([start], loss), **given).step(3))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("seed", range(25))
def test_whatever_the_closure_answers_both_do_the_same(seed: int, search: str | None) -> None:
    generator = torch.Generator().manual_seed(seed)
    losses = torch.randint(-3, 3, (400,), generator=generator).double().cumsum(0) / 4
    gradients = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    ends = []
    for cls in (LBFGS, torch.optim.LBFGS):
        weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        calls = iter(range(400))

        def closure(weight: Tensor = weight, calls: Iterator[int] = calls) -> float:
            call = next(calls)
            weight.grad = gradients[call].clone()
            return losses[call].item()

        optimizer = cls([weight], max_iter=6, max_eval=12, line_search_fn=search)
        for _ in range(5):
            optimizer.step(closure)
        ends.append((weight.detach(), next(calls)))
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)


@pytest.mark.parametrize("max_eval", [0, 1, 2, None])
@pytest.mark.parametrize("max_iter", [0, 1, 2])
@pytest.mark.parametrize("search", SEARCHES)
def test_tiny_limits_end_a_step_early_and_raise_nothing(
    search: str | None, max_iter: int, max_eval: int | None
) -> None:
    given = {"max_iter": max_iter, "max_eval": max_eval, "line_search_fn": search}
    ours = run(LBFGS, rosenbrock(torch.float64), **given).step(4)
    assert ours.returned == sorted(ours.returned, reverse=True) or search is None
    if max_eval == 0 or max_iter == 0:
        # torch's line search has no bracket at all when nothing is left to spend.
        given["max_eval"] = 1
    assert_same_run(ours, run(torch.optim.LBFGS, rosenbrock(torch.float64), **given).step(4))


@pytest.mark.parametrize("search", SEARCHES)
def test_a_step_length_of_zero_moves_nothing(search: str | None) -> None:
    ours = run(LBFGS, mlp(torch.float64), lr=0.0, line_search_fn=search).step(2)
    assert all(torch.equal(point, flat(mlp(torch.float64).start)) for point in ours.path)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("search", SEARCHES)
def test_tensor_lr_is_in_lock_step_too(search: str | None, shape: tuple[int, ...]) -> None:
    lr = torch.full(shape, 0.25, dtype=torch.float64)
    ours = run(LBFGS, mlp(torch.float64), lr=lr, line_search_fn=search).step(4)
    theirs = run(torch.optim.LBFGS, mlp(torch.float64), lr=lr, line_search_fn=search).step(4)
    assert_same_run(ours, theirs)


def test_a_scheduler_that_writes_into_a_tensor_lr_does_not_rewrite_the_last_step() -> None:
    optimizer = run(LBFGS, mlp(torch.float64), lr=torch.tensor(0.1), max_iter=4).step()
    numbers = run(LBFGS, mlp(torch.float64), lr=torch.tensor(0.1).item(), max_iter=4).step()
    optimizer.optimizer.param_groups[0]["lr"].fill_(0.2)
    numbers.optimizer.param_groups[0]["lr"] = torch.tensor(0.2).item()
    torch.testing.assert_close(optimizer.step(2).path, numbers.step(2).path, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("problem", [rosenbrock, rosenbrock10, logistic])
def test_finds_the_minimum_that_scipy_finds(problem: Callable[[torch.dtype], Problem]) -> None:
    exact = {"max_iter": 200, "tolerance_grad": 1e-10, "tolerance_change": 1e-16}
    ours = run(LBFGS, problem(torch.float64), line_search_fn="strong_wolfe", **exact).step(2)
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


def test_direction_is_that_of_the_dense_bfgs_matrix() -> None:
    generator = torch.Generator().manual_seed(3)
    hessian = torch.diag(torch.arange(1.0, 7.0, dtype=torch.float64))
    history, pairs = History(), []
    for _ in range(5):
        s = torch.randn(6, generator=generator, dtype=torch.float64)
        pairs.append((s, hessian @ s))
        history = history.remember(*pairs[-1], size=4)
    s, y = pairs[-1]
    eye = torch.eye(6, dtype=torch.float64)
    inverse = s.dot(y) / y.dot(y) * eye
    for s, y in pairs[-4:]:
        turn = eye - torch.outer(s, y) / y.dot(s)
        inverse = turn @ inverse @ turn.T + torch.outer(s, s) / y.dot(s)
    gradient = torch.randn(6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(history.descent(gradient)[0], -inverse @ gradient)


def test_a_pair_without_positive_curvature_is_left_out() -> None:
    history = History()
    step = torch.ones(3, dtype=torch.float64)
    assert history.remember(step, -step, size=5) is history
    assert history.remember(step, torch.zeros_like(step), size=5) is history


def trial(step: float, loss: float, slope: float) -> Trial:
    tensor = torch.tensor(slope, dtype=torch.float64)
    return Trial(step, loss, tensor, tensor.reshape(1))


def test_cubic_interpolation_finds_the_minimum_of_a_cubic() -> None:
    a, b = (trial(t, t**3 - 3 * t, 3 * t**2 - 3) for t in (0.0, 3.0))
    assert float(cubic_minimizer(a, b, 0.0, 3.0)) == pytest.approx(1.0)
    assert float(cubic_minimizer(b, a, 0.0, 3.0)) == pytest.approx(1.0)
    assert float(cubic_minimizer(a, b, 2.0, 3.0)) == 2.0


@pytest.mark.parametrize(
    ("loss", "slope"), [(math.inf, 1.0), (math.inf, math.nan), (1.0, math.inf)]
)
def test_interpolation_with_infinite_values_takes_the_middle(loss: float, slope: float) -> None:
    assert cubic_minimizer(trial(0.0, 1.0, -1.0), trial(2.0, loss, slope), 0.0, 2.0) == 1.0


@pytest.mark.parametrize("first_step", [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize(
    "function",
    [
        lambda t: (t - 3) ** 2,
        lambda t: (-t).exp() + 0.01 * t * t,
        lambda t: -t / (t * t + 2),
        lambda t: t**4 / 4 - t,
        lambda t: (t - 3).abs() ** 1.5 + 0.1 * (5 * t).sin(),
    ],
)
def test_line_search_meets_the_strong_wolfe_conditions(
    function: Callable[[Tensor], Tensor], first_step: float
) -> None:
    def probe(step: float | Tensor) -> Trial:
        t = torch.tensor(float(step), dtype=torch.float64, requires_grad=True)
        value = function(t)
        value.backward()
        assert t.grad is not None
        return Trial(step, value.item(), t.grad, t.grad.reshape(1))

    origin = probe(0.0)
    found = strong_wolfe(Search(probe, origin, 1.0, 1e-9, max_trials=50), first_step)
    assert found.loss <= origin.loss + 1e-4 * float(found.step) * origin.slope
    assert abs(found.slope) <= 0.9 * abs(origin.slope)


def test_the_second_trial_may_climb_above_the_first_as_in_torch() -> None:
    tried: list[float] = []
    answers = iter([(-0.5, -0.95), (-0.4, -0.95), (-1.0, 0.0)])

    def probe(step: float | Tensor) -> Trial:
        tried.append(float(step))
        return trial(float(step), *next(answers))

    found = strong_wolfe(Search(probe, trial(0.0, 0.0, -1.0), 1.0, 1e-9, max_trials=9), 1.0)
    assert tried == sorted(tried)
    assert found.loss == -1.0


@pytest.mark.parametrize("start", [0.5, 3.0, 20.0])
def test_line_search_retreats_from_where_the_loss_is_not_defined(start: float) -> None:
    barrier = Problem(
        [torch.tensor([start], dtype=torch.float64)], lambda ps: (ps[0] - ps[0].log()).sum()
    )
    ours = run(LBFGS, barrier, lr=100.0, line_search_fn="strong_wolfe").step(5)
    torch.testing.assert_close(ours.path[-1], torch.ones(1, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("first", "second"), [(LBFGS, torch.optim.LBFGS), (torch.optim.LBFGS, LBFGS), (LBFGS, LBFGS)]
)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_checkpoints_go_both_ways_and_resume_exactly(
    first: type[Any], second: type[Any], search: str | None, before: int
) -> None:
    options = {
        "lr": 1.0 if search else 0.05,
        "line_search_fn": search,
        "history_size": 5,
        "max_iter": 4,
    }
    whole = run(torch.optim.LBFGS, mlp(torch.float64), **options).step(before + 4)
    start = run(first, mlp(torch.float64), **options).step(before)
    saved = copy.deepcopy(start.optimizer.state_dict())
    resumed = run(second, Problem([p.detach() for p in start.params], start.loss))
    resumed.optimizer.load_state_dict(saved)
    resumed.step(4)
    assert resumed.calls + start.calls == whole.calls
    torch.testing.assert_close(resumed.path, whole.path[before:], rtol=0, atol=0)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))]
)
@pytest.mark.parametrize("before", [0, 2])
def test_copies_and_pickles_go_on_as_the_original(
    duplicate: Callable[[Any], Any], before: int
) -> None:
    original = run(LBFGS, mlp(torch.float64), max_iter=4, line_search_fn="strong_wolfe").step(
        before
    )
    optimizer, params = duplicate((original.optimizer, original.params))
    twin = Run(optimizer, params, original.loss).step(3)
    assert type(optimizer) is LBFGS
    torch.testing.assert_close(original.step(3).path[before:], twin.path, rtol=0, atol=0)


def test_the_class_is_pickled_by_its_stable_name() -> None:
    assert LBFGS.__module__ == "optkit_plugins.lbfgs"
    assert pickle.loads(pickle.dumps(LBFGS)) is LBFGS


@pytest.mark.parametrize("failing_call", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("search", SEARCHES)
def test_a_failing_closure_leaves_the_last_accepted_point(
    search: str | None, failing_call: int
) -> None:
    options = {
        "lr": 1.0 if search else 0.05,
        "line_search_fn": search,
        "max_iter": 60,
        "max_eval": 500,
    }
    whole = run(LBFGS, rosenbrock(torch.float64), **options).step()
    failing = run(LBFGS, rosenbrock(torch.float64), **options)

    def closure() -> Any:
        loss = failing.closure()
        if failing.calls == failing_call:
            raise FloatingPointError("simulated")
        return loss

    with pytest.raises(FloatingPointError, match="simulated"):
        failing.optimizer.step(closure)
    after = flat(failing.params)
    assert any(torch.equal(after, point) for point in accepted_points(options))
    done = failing.optimizer.state[failing.params[0]].get("n_iter", 0)
    failing.optimizer.param_groups[0]["max_iter"] = 60 - done
    torch.testing.assert_close(failing.step().path, whole.path, rtol=0, atol=0)


def accepted_points(options: dict[str, Any]) -> list[Tensor]:
    single = run(LBFGS, rosenbrock(torch.float64), **{**options, "max_iter": 1})
    return [flat(single.params), *single.step(60).path]


def linear(weights: Params) -> Loss:
    def loss(params: Params) -> Tensor:
        terms = ((p - w).abs().square().sum() for p, w in zip(params, weights, strict=True))
        return torch.stack([*terms]).sum()

    return loss


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_strides_do_not_matter(search: str | None, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(4)
    values = [torch.randn(2, 3, 4, 5, generator=generator, dtype=dtype) for _ in range(3)]
    targets = [torch.randn(2, 3, 4, 5, generator=generator, dtype=dtype) for _ in range(3)]
    odd = [
        values[0].clone(memory_format=torch.channels_last),
        values[1].transpose(0, 3).contiguous().transpose(0, 3),
        torch.stack([values[2], values[2]], -1)[..., 0],
    ]
    assert not any(value.is_contiguous() for value in odd)
    options: dict[str, Any] = {"lr": 0.2, "line_search_fn": search, "max_iter": 3}
    params = [value.detach().requires_grad_() for value in odd]
    ours = Run(LBFGS(params, **options), params, linear(targets)).step(3)
    theirs = run(torch.optim.LBFGS, Problem(values, linear(targets)), **options).step(3)
    assert [p.stride() for p in params] == [value.stride() for value in odd]
    assert ours.calls == theirs.calls
    torch.testing.assert_close(ours.path, theirs.path, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("search", SEARCHES)
def test_empty_missing_and_frozen_parameters_stay(search: str | None) -> None:
    used = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    empty = torch.zeros(0, 4, dtype=torch.float64, requires_grad=True)
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    frozen = torch.ones(2, dtype=torch.float64)
    optimizer = LBFGS([empty, frozen, used, unused], line_search_fn=search)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (used - frozen.sum()).square().sum() + empty.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 12
    torch.testing.assert_close(used.detach(), torch.full((3,), 2.0, dtype=torch.float64))
    assert torch.equal(unused, torch.ones_like(unused))
    assert torch.equal(frozen, torch.ones_like(frozen))


@pytest.mark.parametrize("params", [[torch.zeros(0, requires_grad=True)], []])
def test_with_nothing_to_move_the_closure_is_called_once(params: Params) -> None:
    calls = []
    assert LBFGS([{"params": params}]).step(lambda: calls.append(1) or 7.0) == 7.0
    assert calls == [1]


@pytest.mark.parametrize("search", SEARCHES)
def test_sparse_gradients_count_as_dense(search: str | None) -> None:
    rows, start = torch.tensor([1, 3, 3]), torch.ones(5, 2, dtype=torch.float64)

    def loss(sparse: bool) -> Loss:
        return lambda ps: torch.nn.functional.embedding(rows, ps[0], sparse=sparse).square().sum()

    sparse = run(LBFGS, Problem([start], loss(True)), line_search_fn=search, lr=0.1).step(3)
    dense = run(LBFGS, Problem([start], loss(False)), line_search_fn=search, lr=0.1).step(3)
    assert sparse.params[0].grad is not None
    assert sparse.params[0].grad.is_sparse
    assert_same_run(sparse, dense)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    "returned", [1, 1.5, torch.tensor([1]), torch.tensor(2.0), np.float64(3)], ids=repr
)
def test_step_returns_what_the_closure_returned_first(search: str | None, returned: Any) -> None:
    paths = []
    for cls in (LBFGS, torch.optim.LBFGS):
        weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
        weight.grad = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
        optimizer = cls([weight], lr=0.01, line_search_fn=search)
        assert all(optimizer.step(lambda: returned) is returned for _ in range(3))
        paths.append(weight.detach())
    assert torch.equal(*paths)


def test_parameters_of_several_dtypes_resume_from_a_checkpoint() -> None:
    start = [torch.zeros(2, dtype=torch.float32), torch.zeros(3, dtype=torch.float64)]

    def loss(params: Params) -> Tensor:
        return (params[0].double() - 1).square().sum() + 3 * (params[1] + 2).square().sum()

    first = run(LBFGS, Problem(start, loss), max_iter=3).step()
    second = run(LBFGS, Problem([p.detach() for p in first.params], loss))
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.step(4)
    assert second.returned[-1] < 1e-8


@pytest.mark.parametrize("size", [2, 30])
def test_history_size_may_change_between_steps(size: int) -> None:
    ours = run(
        LBFGS, rosenbrock10(torch.float64), history_size=6, line_search_fn="strong_wolfe"
    ).step()
    ours.optimizer.param_groups[0]["history_size"] = size
    ours.step(4)
    state = ours.optimizer.state[ours.params[0]]
    assert 1 < len(state["old_dirs"]) == len(state["old_stps"]) == len(state["ro"]) <= size
    assert len(state["al"]) == size
    # Where x[0] is about -1 lies a local minimum of the Rosenbrock function.
    assert gradient_vector(ours.params).abs().max() < 1e-3


def test_gradients_are_read_and_never_written() -> None:
    weight = torch.ones(3, requires_grad=True)
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    LBFGS([weight], lr=0.01, line_search_fn="strong_wolfe").step(lambda: 1.0)
    assert torch.equal(weight.grad, torch.tensor([1.0, 2.0, 3.0]))
    gradient_vector([weight]).zero_()
    assert torch.equal(weight.grad, torch.tensor([1.0, 2.0, 3.0]))


def test_a_lazily_conjugated_gradient_is_read_as_conjugated() -> None:
    weight = torch.zeros(2, dtype=torch.complex128, requires_grad=True)
    weight.grad = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex128).conj()
    assert gradient_vector([weight]).tolist() == [1.0, -2.0, 3.0, 4.0]


def test_a_move_lands_on_every_element_in_logical_order() -> None:
    params = [torch.zeros(2, 2).t(), torch.zeros(1, dtype=torch.complex64), torch.zeros(())]
    move(params, 2.0, torch.arange(7.0))
    assert params[0].tolist() == [[0.0, 2.0], [4.0, 6.0]]
    assert params[1].tolist() == [8 + 10j]
    assert params[2].item() == 12.0


def test_defaults_are_those_of_torch() -> None:
    ours, theirs = (cls([torch.zeros(1)]) for cls in (LBFGS, torch.optim.LBFGS))
    assert theirs.defaults.items() <= ours.defaults.items()
    group = {key: value for key, value in theirs.param_groups[0].items() if key != "params"}
    assert group.items() <= ours.param_groups[0].items()
    assert LBFGS([torch.zeros(1)], max_iter=8).param_groups[0]["max_eval"] == 10
    assert LBFGS([torch.zeros(1)], 1, 8, 3).param_groups[0]["max_eval"] == 3


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1.0},
        {"lr": torch.ones(2)},
        {"max_iter": -1},
        {"max_iter": 2.5},
        {"max_eval": -1},
        {"tolerance_grad": -1e-9},
        {"tolerance_change": math.nan},
        {"history_size": 0},
        {"line_search_fn": "weak_wolfe"},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(HyperparameterError, match=next(iter(options))):
        LBFGS([torch.zeros(1)], **options)


def test_a_second_parameter_group_is_refused() -> None:
    with pytest.raises(GroupError, match="one parameter group"):
        LBFGS([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)]}])
    optimizer = LBFGS([torch.zeros(1)])
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        optimizer.add_param_group({"params": [torch.zeros(1)]})
    assert len(optimizer.param_groups) == 1


def test_a_step_needs_a_closure_that_returns_a_loss() -> None:
    weight = torch.ones(1, requires_grad=True)
    with pytest.raises(TypeError, match="closure"):
        LBFGS([weight]).step()
    for returned in (None, torch.ones(2), "loss"):
        with pytest.raises(ClosureError, match="must return the loss"):
            LBFGS([weight]).step(lambda value=returned: value)
