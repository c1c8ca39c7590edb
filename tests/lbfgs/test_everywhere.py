"""L-BFGS on every kind of parameter: groups, dtypes, layouts, missing gradients, replicas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from minimization import (
    ALL_SEARCHES,
    SEARCHES,
    STORAGE,
    Loss,
    Params,
    Problem,
    Run,
    assert_same_run,
    logistic,
    mlp,
    run,
)
from processes import on_ranks
from torch import Tensor

from optkit_core import GroupError
from optkit_plugins.lbfgs import LBFGS

each_storage = pytest.mark.parametrize("storage", STORAGE)


def linear(weights: Params) -> Loss:
    def loss(params: Params) -> Tensor:
        terms = ((p - w).abs().square().sum() for p, w in zip(params, weights, strict=True))
        return torch.stack([*terms]).sum()

    return loss


@each_storage
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_strides_do_not_matter(search: str | None, dtype: torch.dtype, storage: str) -> None:
    generator = torch.Generator().manual_seed(4)
    values = [torch.randn(2, 3, 4, 5, generator=generator, dtype=dtype) for _ in range(3)]
    targets = [torch.randn(2, 3, 4, 5, generator=generator, dtype=dtype) for _ in range(3)]
    odd = [
        values[0].clone(memory_format=torch.channels_last),
        values[1].transpose(0, 3).contiguous().transpose(0, 3),
        torch.stack([values[2], values[2]], -1)[..., 0],
    ]
    assert not any(value.is_contiguous() for value in odd)
    options: dict[str, Any] = {"lr": 0.2, "line_search_fn": search, "max_iter": 3, "max_eval": 40}
    params = [value.detach().requires_grad_() for value in odd]
    ours = Run(LBFGS(params, implementation=storage, **options), params, linear(targets)).step(3)
    theirs = run(torch.optim.LBFGS, Problem(values, linear(targets)), **options).step(3)
    assert [p.stride() for p in params] == [value.stride() for value in odd]
    assert_same_run(ours, theirs, rtol=1e-10, atol=1e-10)


@each_storage
@pytest.mark.parametrize("search", ALL_SEARCHES)
def test_empty_missing_and_frozen_parameters_stay(search: str | None, storage: str) -> None:
    used = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    empty = torch.zeros(0, 4, dtype=torch.float64, requires_grad=True)
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    frozen = torch.ones(2, dtype=torch.float64)
    params = [empty, frozen, used, unused]
    optimizer = LBFGS(params, line_search_fn=search, implementation=storage)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (used - frozen.sum()).square().sum() + empty.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 12
    torch.testing.assert_close(used.detach(), torch.full((3,), 2.0, dtype=torch.float64))
    assert torch.equal(unused, torch.ones_like(unused)) and unused.grad is None
    assert torch.equal(frozen, torch.ones_like(frozen))


@each_storage
@pytest.mark.parametrize("search", SEARCHES)
def test_sparse_gradients_count_as_dense(search: str | None, storage: str) -> None:
    rows, start = torch.tensor([1, 3, 3]), torch.ones(5, 2, dtype=torch.float64)

    def loss(sparse: bool) -> Loss:
        return lambda ps: torch.nn.functional.embedding(rows, ps[0], sparse=sparse).square().sum()

    given = {"line_search_fn": search, "lr": 0.1, "implementation": storage}
    sparse = run(LBFGS, Problem([start], loss(True)), **given).step(3)
    dense = run(LBFGS, Problem([start], loss(False)), **given).step(3)
    assert sparse.params[0].grad is not None and dense.params[0].grad is not None
    assert sparse.params[0].grad.is_sparse
    assert torch.equal(sparse.params[0].grad.to_dense(), dense.params[0].grad)
    assert_same_run(sparse, dense)


def test_a_sparse_gradient_belongs_to_the_returned_point_too() -> None:
    x = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([1, 3])

    def first(line: Any, step: float) -> Any:
        trial = line.try_step(step)
        line.try_step(step / 2)
        return trial

    optimizer = LBFGS([x], line_search_fn=first, max_iter=1, max_eval=9, lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.embedding(rows, x, sparse=True).pow(4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    shown = x.grad
    closure()
    assert shown is not None and x.grad is not None and shown.is_sparse
    torch.testing.assert_close(shown.to_dense(), x.grad.to_dense())


@each_storage
@pytest.mark.parametrize("search", ALL_SEARCHES[1:])
def test_dtypes_may_be_mixed(search: str, storage: str) -> None:
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.float16)
    start = [torch.zeros(9, dtype=dtype) for dtype in dtypes]

    def loss(params: Params) -> Tensor:
        terms = (
            scale * (p.to(torch.complex128) - 1 - scale / 2).abs().square().sum()
            for scale, p in enumerate(params, start=1)
        )
        return torch.stack([*terms]).sum()

    given = {"line_search_fn": search, "implementation": storage, "max_iter": 60}
    ours = run(LBFGS, Problem(start, loss), **given).step()
    for scale, p in enumerate(ours.params, start=1):
        wanted = torch.full_like(p.detach(), 1 + scale / 2)
        torch.testing.assert_close(p.detach(), wanted, rtol=1e-2, atol=1e-2)
    assert ours.optimizer.state_dict()["state"][0]["d"].dtype == torch.float64


@each_storage
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_minimized_in_float32(dtype: torch.dtype, storage: str) -> None:
    target = torch.linspace(-1, 1, 40).to(dtype)
    problem = Problem([torch.zeros(40, dtype=dtype)], lambda ps: (ps[0] - target).square().sum())
    ours = run(LBFGS, problem, line_search_fn="hager_zhang", implementation=storage).step()
    torch.testing.assert_close(ours.params[0].detach(), target, rtol=2e-2, atol=2e-2)
    assert ours.params[0].dtype == dtype


@each_storage
@pytest.mark.parametrize("search", ALL_SEARCHES)
def test_maximizing_is_minimizing_the_negative(search: str | None, storage: str) -> None:
    problem = mlp(torch.float64)
    negative = Problem(problem.start, lambda params: -problem.loss(params))
    given = {"lr": 1.0 if search else 0.05, "line_search_fn": search, "implementation": storage}
    up = run(LBFGS, negative, maximize=True, **given).step(3)
    down = run(LBFGS, problem, **given).step(3)
    assert all(map(torch.equal, up.path, down.path))
    assert up.returned == [-loss for loss in down.returned]
    result, other = up.optimizer.result, down.optimizer.result
    assert result.gradient == other.gradient
    assert result.loss == (None if other.loss is None else -other.loss)
    if search:
        assert up.params[0].grad is not None and down.params[0].grad is not None
        assert torch.equal(up.params[0].grad, -down.params[0].grad)


@each_storage
@pytest.mark.parametrize("search", SEARCHES)
def test_groups_of_one_rate_are_one_vector(search: str | None, storage: str) -> None:
    given = {"lr": 1.0 if search else 0.05, "line_search_fn": search, "max_eval": 99}
    whole = run(LBFGS, mlp(torch.float64), **given).step(3)
    params = mlp(torch.float64).params()
    groups = [{"params": params[:1]}, {"params": params[1:3]}, {"params": params[3:]}]
    optimizer = LBFGS(groups, implementation=storage, **given)
    split = Run(optimizer, params, whole.loss).step(3)
    assert_same_run(split, whole, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rates", [(0.5, 0.125, 0.0), (0.125, 0.5, 0.25), (0.0, 0.0, 0.0)])
def test_a_groups_rate_scales_its_first_step(rates: tuple[float, ...]) -> None:
    params = [torch.full((4,), 3.0, dtype=torch.float64, requires_grad=True) for _ in rates]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(params, rates, strict=True)]
    optimizer = LBFGS(groups, max_iter=1)

    def closure() -> float:
        for p in params:
            p.grad = torch.full((4,), 0.01, dtype=torch.float64)
        return 1.0

    optimizer.step(closure)
    for p, lr in zip(params, rates, strict=True):
        torch.testing.assert_close(p.detach(), torch.full_like(p, 3.0 - lr * 0.01))


@each_storage
@pytest.mark.parametrize("search", ALL_SEARCHES[1:])
def test_groups_of_different_rates_find_the_same_minimum(search: str, storage: str) -> None:
    params = logistic(torch.float64).params()
    groups = [{"params": params[:1], "lr": 1.0}, {"params": params[1:], "lr": 0.01}]
    given = {"line_search_fn": search, "max_iter": 100, "max_eval": 300, "tolerance_grad": 1e-6}
    optimizer = LBFGS(groups, implementation=storage, tolerance_change=0.0, **given)
    Run(optimizer, params, logistic(torch.float64).loss).step()
    assert optimizer.result.success
    largest = max(p.grad.abs().max().item() for p in params if p.grad is not None)
    assert largest == pytest.approx(optimizer.result.gradient) and largest <= 1e-6


def test_a_scheduler_may_change_all_rates_and_single_ones() -> None:
    params = mlp(torch.float64).params()
    groups = [{"params": params[:2], "lr": 1.0}, {"params": params[2:], "lr": 0.25}]
    optimizer = LBFGS(groups, line_search_fn="strong_wolfe", max_iter=3, max_eval=30)
    ours = Run(optimizer, params, mlp(torch.float64).loss).step(2)
    for rates, goes_on in (((0.5, 0.125), True), ((0.5, 0.5), False)):
        before = len(optimizer.state_dict()["state"][0]["old_dirs"])
        for group, lr in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        ours.step()
        count = len(optimizer.state_dict()["state"][0]["old_dirs"])
        assert (count > before) == goes_on
    assert ours.returned == sorted(ours.returned, reverse=True)


@pytest.mark.parametrize(
    "own", [{"max_iter": 3}, {"history_size": 2}, {"line_search_fn": "strong_wolfe"}], ids=str
)
def test_groups_agree_in_all_but_the_rate(own: dict[str, Any]) -> None:
    groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], **own}]
    with pytest.raises(GroupError, match=f"only lr may differ.*{next(iter(own))}"):
        LBFGS(groups)
    optimizer = LBFGS(groups[:1])
    with pytest.raises(GroupError, match="only lr may differ"):
        optimizer.add_param_group({"params": [torch.zeros(1)], **own})
    assert len(optimizer.param_groups) == 1


def test_a_group_may_be_added_between_steps() -> None:
    first, second = (torch.full((5,), 2.0, requires_grad=True) for _ in range(2))
    optimizer = LBFGS([first], line_search_fn="hager_zhang", max_iter=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (first.pow(4) + second.square()).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    optimizer.add_param_group({"params": [second]})
    optimizer.param_groups[0]["max_iter"] = optimizer.param_groups[1]["max_iter"] = 60
    optimizer.param_groups[0]["max_eval"] = optimizer.param_groups[1]["max_eval"] = 99
    optimizer.step(closure)
    assert first.abs().max() < 0.1 and second.abs().max() < 1e-3


def test_parameters_that_become_others_are_noticed() -> None:
    x = torch.full((6,), 2.0, requires_grad=True)
    optimizer = LBFGS([x], line_search_fn="hager_zhang", max_iter=3, tolerance_change=0.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ((x - 1) ** 4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    x.grad = None
    x.data = x.data.double()
    optimizer.param_groups[0].update(max_iter=60, max_eval=99)
    optimizer.step(closure)
    assert optimizer.state[x]["d"].dtype == torch.float64
    torch.testing.assert_close(x.detach(), torch.ones_like(x), rtol=0, atol=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["strong_wolfe", "hager_zhang"])
def test_replicas_decide_by_the_loss_of_all(search: str, tmp_path: Path) -> None:
    first, second = on_ranks(ranks.minimize, 2, tmp_path, search)
    assert first["result"] == second["result"]
    for found in (first, second):
        assert torch.equal(*found["params"])
        assert found["result"].loss == pytest.approx(found["whole"], rel=0, abs=1e-12)


def quartic(params: Params) -> Tensor:
    return torch.stack([(k * (p - 0.5) ** 4).sum() for k, p in enumerate(params, 1)]).sum()


def test_flat_matches_each_storage_on_many_parameters() -> None:
    paths = []
    for storage in STORAGE:
        params = [torch.full((n,), 1.0, dtype=torch.float64) for n in (1, 7, 33, 64, 129)]
        given = {"line_search_fn": "hager_zhang", "implementation": storage, "max_eval": 99}
        paths.append(run(LBFGS, Problem(params, quartic), **given).step(3).path)
    torch.testing.assert_close(paths[0], paths[1], rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(paths[0], paths[2], rtol=1e-8, atol=1e-9)
