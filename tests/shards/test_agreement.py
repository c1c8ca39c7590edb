"""Ranks that hold DTensors together decide alike, whatever each of them has and is asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

import agreeing
import pytest
import sharded
from once import once
from processes import on_ranks

pytestmark = pytest.mark.slow

CASES = [
    agreeing.counted,
    agreeing.without_a_compiler,
    agreeing.requests_that_a_rank_cannot_meet,
    agreeing.companions,
    agreeing.calls,
    agreeing.failing_later,
    agreeing.scalers,
    agreeing.deceived_scaler,
    agreeing.compiled,
    agreeing.compiled_whole,
    agreeing.distributed_too_late,
]


IN_TWO_DIMS = [agreeing.without_a_compiler, agreeing.deceived_scaler]
"""What ranks tell each other along one dim of a mesh after the other."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: Any) -> dict[str, list[Any]]:
    return _seen(2, CASES, tmp_path_factory)


@pytest.fixture(scope="module")
def seen_by_four(tmp_path_factory: Any) -> dict[str, list[Any]]:
    return _seen(4, IN_TWO_DIMS, tmp_path_factory)


def _seen(count: int, cases: list[Any], folders: Any) -> dict[str, list[Any]]:
    """Return what each rank returned, by the names of cases."""
    folder, names = folders.mktemp("ranks"), [case.__name__ for case in cases]
    ranks = partial(on_ranks, sharded.runs, count, folder, cases)
    results = once(folders, f"agreement{count}", ranks)
    return dict(zip(names, map(list, zip(*results, strict=True)), strict=True))


def test_where_one_rank_has_no_compiler_none_runs_kernels(seen: dict[str, list[Any]]) -> None:
    first, second = seen["without_a_compiler"]
    assert first == second
    names, rejected, _, communicated = first
    assert names == ["forloop"]
    assert rejected["fused"] == (
        "not on rank 1: CXX names 'no-such-compiler', which isn't a program here"
    )
    assert communicated == 2  # each rank tells what it would run, and again: answers have differed


def test_ranks_agree_along_all_dims_of_a_mesh(seen_by_four: dict[str, list[Any]]) -> None:
    first, *others = seen_by_four["without_a_compiler"]
    assert others == [first] * 3
    names, rejected, *_ = first
    assert names == ["forloop"]
    assert rejected["fused"].startswith("not on rank 3: ")
    first, *others = seen_by_four["deceived_scaler"]
    assert others == [first] * 3
    assert first[0] == ""
    assert "scaled their gradients by 32 and by 64" in first[1]


def test_what_one_rank_cannot_run_is_refused_on_all(seen: dict[str, list[Any]]) -> None:
    first, second = seen["requests_that_a_rank_cannot_meet"]
    assert first == second
    missing, environment, file, options = first
    assert "can't run Rprop on cpu float32: not on rank 1: CXX names" in missing
    assert "'auto' is requested on rank 0" in environment
    assert "'foreach' on rank 1 by the environment variable OPTKIT_IMPLEMENTATION" in environment
    assert "'forloop' on rank 1 by" in file
    assert "rank 1 steps cpu float32" in options


def test_replicas_stay_equal_among_shards_of_other_sizes(seen: dict[str, list[Any]]) -> None:
    first, second = seen["companions"]
    assert first == second


def test_what_is_stepped_together_is_decided_by_whole_sizes(seen: dict[str, list[Any]]) -> None:
    first, second = seen["calls"]
    assert first == second
    assert len(first) > 1


def test_no_elementwise_step_communicates(seen: dict[str, list[Any]]) -> None:
    first, second = seen["counted"]
    assert first == second
    counts, rounds = first
    assert set(counts.values()) == {0}
    assert rounds == 1  # another request is something to agree on


def test_a_rank_that_fails_later_neither_waits_nor_drifts(seen: dict[str, list[Any]]) -> None:
    first, second = seen["failing_later"]
    assert first == ""
    assert second.startswith("ImplementationError: rank 1 can't run fused on cpu float32 after all")


def test_an_infinity_on_one_rank_is_skipped_by_all(seen: dict[str, list[Any]]) -> None:
    first, second = seen["scalers"]
    assert first == second
    assert [found[:2] for found in first] == [(True, 32.0)] * 3


def test_ranks_whose_scales_differ_say_so(seen: dict[str, list[Any]]) -> None:
    first, second = seen["deceived_scaler"]
    assert first == second
    assert first[0] == ""
    assert "scaled their gradients by 32 and by 64" in first[1]


def test_a_compiler_sees_the_steps_of_shards(seen: dict[str, list[Any]]) -> None:
    first, second = seen["compiled"]
    assert first == second
    frames, operations, plan, is_right = first
    assert frames == 1
    assert operations > 5
    assert plan == [("foreach", True)]
    assert is_right


def test_a_plan_calls_compiled_only_what_is(seen: dict[str, list[Any]]) -> None:
    for plan in seen["compiled_whole"]:
        assert [is_compiled for _, is_compiled in plan] == [False]


def test_a_model_that_is_distributed_too_late_is_noticed(seen: dict[str, list[Any]]) -> None:
    first, second = seen["distributed_too_late"]
    assert first == second
    named = ["0.weight", "1.weight", "1.weight"]
    for index, name in enumerate(named):
        early, again, late = first[3 * index : 3 * index + 3]
        assert early == again
        assert f"({name!r})" in early
        assert "create it after fully_shard() or parallelize_module()" in early
        assert late == ""
    assert "0.weight" not in first[3]
    assert first[-1] == ""
