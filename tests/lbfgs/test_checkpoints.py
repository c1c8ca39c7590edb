"""Checkpoints, copies and pickles of L-BFGS: a resumed run is the uninterrupted one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from minimization import (
    ALL_SEARCHES,
    CLOSE,
    SEARCHES,
    STORAGE,
    Problem,
    Run,
    assert_same_run,
    mlp,
    rosenbrock10,
    run,
)
from torch import Tensor

import optkit
from optkit_core import CheckpointError
from optkit_plugins.lbfgs import LBFGS, HagerZhang

each_search = pytest.mark.parametrize("search", ALL_SEARCHES)


def given(search: str | None, **more: Any) -> dict[str, Any]:
    lr = 1.0 if search else 0.05
    return {"lr": lr, "line_search_fn": search, "max_iter": 4, "max_eval": 40, **more}


def resumed(start: Run, optimizer: Any, params: list[Tensor]) -> Run:
    optimizer.load_state_dict(start.optimizer.state_dict())
    return Run(optimizer, params, start.loss)


def assert_goes_on(twin: Run, original: Run, before: int) -> None:
    twin.step(3)
    original.step(3)
    assert twin.returned == original.returned[before:]
    assert all(map(torch.equal, twin.path, original.path[before:]))


@pytest.mark.slow
@each_search
@pytest.mark.parametrize("before", [0, 1, 2, 4])
@pytest.mark.parametrize("history", [3, 100])
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_resumed_run_is_the_same_bit_for_bit(
    search: str | None, before: int, history: int, storage: str, dtype: torch.dtype
) -> None:
    options = given(search, history_size=history, implementation=storage)
    original = run(LBFGS, mlp(dtype), **options).step(before)
    params = [p.detach().clone().requires_grad_() for p in original.params]
    twin = resumed(original, LBFGS(params, implementation=storage), params)
    assert_goes_on(twin, original, before)


@pytest.mark.parametrize("search", [None, "hager_zhang"])
def test_a_history_of_another_dtype_and_a_file_resume_too(search: str, tmp_path: Path) -> None:
    options = given(search, history_size=3, history_dtype=torch.float32)
    original = run(LBFGS, mlp(torch.float64), **options).step(3)
    optkit.save(original.optimizer, tmp_path / "here.safetensors")
    params = [p.detach().clone().requires_grad_() for p in original.params]
    optimizer = LBFGS(params)
    optkit.load(optimizer, tmp_path / "here.safetensors")
    assert optimizer.param_groups[0]["history_dtype"] == "float32"
    assert_goes_on(Run(optimizer, params, original.loss), original, 3)


def test_groups_with_rates_of_their_own_resume() -> None:
    def made(source: list[Tensor]) -> Run:
        params = [p.detach().clone().requires_grad_() for p in source]
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}]
        optimizer = LBFGS(groups, **given("strong_wolfe", history_size=3))
        return Run(optimizer, params, mlp(torch.float64).loss)

    original = made(mlp(torch.float64).start).step(3)
    twin = made(original.params)
    twin.optimizer.load_state_dict(original.optimizer.state_dict())
    assert_goes_on(twin, original, 3)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("first", "second"), [(LBFGS, torch.optim.LBFGS), (torch.optim.LBFGS, LBFGS)]
)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_checkpoints_go_both_ways(
    first: type[Any], second: type[Any], search: str | None, before: int
) -> None:
    options = given(search, history_size=5)
    whole = run(torch.optim.LBFGS, mlp(torch.float64), **options).step(before + 4)
    start = run(first, mlp(torch.float64), **options).step(before)
    params = [p.detach().clone().requires_grad_() for p in start.params]
    optimizer = second(params)
    optimizer.load_state_dict(copy.deepcopy(start.optimizer.state_dict()))
    rest = Run(optimizer, params, start.loss).step(4)
    assert rest.calls + start.calls == whole.calls
    torch.testing.assert_close(rest.path, whole.path[before:], **CLOSE[torch.float64])


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("other", STORAGE)
def test_storage_is_the_live_choice(storage: str, other: str) -> None:
    options = given("strong_wolfe", history_size=3)
    original = run(LBFGS, mlp(torch.float64), implementation=storage, **options).step(2)
    params = [p.detach().clone().requires_grad_() for p in original.params]
    twin = resumed(original, LBFGS(params, implementation=other), params)
    assert twin.optimizer.param_groups[0]["implementation"] == other
    twin.step(2)
    torch.testing.assert_close(twin.path, original.step(2).path[2:], **CLOSE[torch.float64])


@pytest.mark.slow
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))],
    ids=["deepcopy", "pickle"],
)
@each_search
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("before", [0, 2])
def test_copies_and_pickles_go_on_as_the_original(
    duplicate: Callable[[Any], Any], before: int, search: str | None, storage: str
) -> None:
    options = given(search, history_size=3, implementation=storage)
    original = run(LBFGS, mlp(torch.float64), **options).step(before)
    optimizer, params = duplicate((original.optimizer, original.params))
    assert optimizer.result == original.optimizer.result
    assert_goes_on(Run(optimizer, params, original.loss), original, before)


def test_a_pickle_is_no_larger_than_what_it_holds() -> None:
    x = torch.zeros(1000, requires_grad=True)
    optimizer = LBFGS([x], history_size=5, max_iter=20, lr=0.1)
    problem = Run(optimizer, [x], lambda ps: ((ps[0] - 2) ** 2 * torch.arange(1000.0)).sum())
    problem.step()
    assert len(optimizer.state[x]["old_dirs"]) == 5
    assert len(pickle.dumps(optimizer)) < 4 * 1000 * (2 * 5 + 5) + 9000


def test_the_state_shows_views_of_the_vectors() -> None:
    ours = run(LBFGS, rosenbrock10(torch.float64), **given("strong_wolfe", history_size=3)).step(3)
    rows = [*(state := ours.optimizer.state[ours.params[0]])["old_dirs"], *state["old_stps"]]
    assert len(rows) == 6
    assert len({row.untyped_storage().data_ptr() for row in rows}) <= 2


def test_a_checkpoint_shares_nothing_and_holds_plain_things_only() -> None:
    ours = run(LBFGS, mlp(torch.float64), **given("hager_zhang", history_size=3)).step(3)
    saved = ours.optimizer.state_dict()
    before = copy.deepcopy(saved["state"])
    ours.step(4)
    assert_plain(saved)
    for key, value in before[0].items():
        torch.testing.assert_close(saved["state"][0][key], value, rtol=0, atol=0)


def assert_plain(value: Any) -> None:
    if isinstance(value, dict):
        for item in value.values():
            assert_plain(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            assert_plain(item)
    else:
        assert value is None or type(value) in (bool, int, float, str, Tensor)


def test_a_function_as_search_stays_where_it_is() -> None:
    def mine(line: Any, step: float) -> Any:
        return line.try_step(step)

    params = [torch.zeros(2)]
    saved = LBFGS(params, line_search_fn=mine).state_dict()
    assert "mine" in saved["param_groups"][0]["line_search_fn"]
    same = LBFGS(params, line_search_fn=mine)
    same.load_state_dict(saved)
    assert same.param_groups[0]["line_search_fn"] is mine
    for other in (None, "strong_wolfe", HagerZhang()):
        with pytest.raises(
            CheckpointError, match=r"line_search_fn must be one of.*test_a_function"
        ):
            LBFGS(params, line_search_fn=other).load_state_dict(saved)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("inverse", torch.zeros(2, 3), "inverse"),
        ("inverse", None, "no inverse"),
        ("squares", "many", "squares"),
        ("curvatures", torch.zeros(2, dtype=torch.int64), "curvatures"),
        ("curvatures", torch.tensor([1.0, 0.0, 1.0]).double(), "curvatures must be positive"),
        ("products", torch.zeros(3), "products"),
        ("slot", 4, "slot must be a whole number up to 3"),
        ("slot", -1, "slot"),
        ("scales", 1.0, "scales"),
        ("slope", "steep", "slope"),
        ("hint", [1], "hint"),
        ("evaluated", 0, "evaluated"),
        ("grad", None, "evaluated"),
        ("grad", torch.zeros(3), "grad has shape"),
    ],
)
def test_wrong_entries_are_refused_and_change_nothing(key: str, value: Any, said: str) -> None:
    options = given("strong_wolfe", history_size=3)
    source = run(LBFGS, mlp(torch.float64), **options).step(2)
    target = run(LBFGS, mlp(torch.float64), **options).step(2)
    saved = source.optimizer.state_dict()
    saved["state"][0][key] = value
    with pytest.raises(CheckpointError, match=said):
        target.optimizer.load_state_dict(saved)
    again = run(LBFGS, mlp(torch.float64), **options).step(2)
    assert_same_run(target.step(2), again.step(2))


def test_small_matrices_that_are_no_numbers_start_the_history_anew() -> None:
    source = run(LBFGS, mlp(torch.float64), **given("strong_wolfe", history_size=3)).step(2)
    saved = source.optimizer.state_dict()
    saved["state"][0]["inverse"].fill_(torch.nan)
    params = [p.detach().clone().requires_grad_() for p in source.params]
    optimizer = LBFGS(params)
    optimizer.load_state_dict(saved)
    twin = Run(optimizer, params, source.loss).step(3)
    assert twin.returned == sorted(twin.returned, reverse=True)


def test_parameters_of_several_dtypes_resume() -> None:
    start = [torch.zeros(2, dtype=torch.float32), torch.zeros(3, dtype=torch.float64)]

    def loss(params: list[Tensor]) -> Tensor:
        return (params[0].double() - 1).square().sum() + 3 * (params[1] + 2).square().sum()

    first = run(LBFGS, Problem(start, loss), **given("strong_wolfe", history_size=3)).step(2)
    params = [p.detach().clone().requires_grad_() for p in first.params]
    twin = resumed(first, LBFGS(params), params)
    assert_goes_on(twin, first, 2)


def test_groups_of_several_dtypes_resume_whichever_comes_first() -> None:
    def made(source: list[Tensor]) -> Run:
        params = [p.detach().clone().requires_grad_() for p in source]
        groups = [{"params": [p]} for p in params]
        optimizer = LBFGS(groups, **given("strong_wolfe", history_size=3))
        return Run(optimizer, params, lambda ps: sum((p.double() ** 4 - p).sum() for p in ps))

    first = torch.linspace(1, 2, 9, dtype=torch.float32)
    second = torch.linspace(2, 3, 7, dtype=torch.float64)
    original = made([first, second]).step(2)
    twin = made(original.params)
    twin.optimizer.load_state_dict(original.optimizer.state_dict())
    assert_goes_on(twin, original, 2)
