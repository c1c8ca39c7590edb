"""Elementwise algorithms step what a rank holds of a DTensor, by any implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sharded
from algorithms import ELEMENTWISE, REPRESENTATIVES
from once import once
from processes import on_ranks

PARTED = [name for name, algorithm in ELEMENTWISE.items() if not algorithm.completes_reductions()]
FEW = [name for name in REPRESENTATIVES if name in PARTED]
IMPLEMENTATIONS = ("forloop", "foreach", "fused")


@pytest.mark.slow
@pytest.mark.parametrize("count", sharded.PLACEMENTS)
def test_every_placement_steps_as_whole_tensors_do(count: int, tmp_path: Path) -> None:
    names = PARTED if count == 2 else FEW
    found = on_ranks(sharded.differences, count, tmp_path, names, FEW, IMPLEMENTATIONS)
    assert [difference for of_rank in found for difference in of_rank] == []


@pytest.fixture(scope="module")
def seen(tmp_path_factory: Any) -> list[Any]:
    cases = [
        sharded.sums_are_made,
        sharded.replaced_elements_are_seen,
        sharded.replaced_state_is_seen,
        sharded.gradients_go,
        sharded.plain_ones_step_along,
        sharded.explained,
        sharded.fully_sharded,
    ]
    folder = tmp_path_factory.mktemp("ranks")
    results = once(
        tmp_path_factory, "local_parts", lambda: on_ranks(sharded.runs, 2, folder, cases)
    )
    names = [case.__name__ for case in cases]
    return [dict(zip(names, of_rank, strict=True)) for of_rank in results]


@pytest.mark.slow
def test_gradients_that_lie_otherwise_are_redistributed_once(seen: list[Any]) -> None:
    assert [of_rank["sums_are_made"] for of_rank in seen] == [(True, 1)] * 2


@pytest.mark.slow
def test_what_changes_between_steps_is_noticed(seen: list[Any]) -> None:
    for of_rank in seen:
        assert of_rank["replaced_elements_are_seen"]
        assert of_rank["replaced_state_is_seen"]


@pytest.mark.slow
def test_no_gradient_is_held(seen: list[Any]) -> None:
    assert all(of_rank["gradients_go"] for of_rank in seen)


@pytest.mark.slow
def test_plain_tensors_step_with_them(seen: list[Any]) -> None:
    assert [of_rank["plain_ones_step_along"] for of_rank in seen] == [(1, True)] * 2


@pytest.mark.slow
def test_an_explanation_tells_what_is_where(seen: list[Any]) -> None:
    explanations = [of_rank["explained"] for of_rank in seen]
    assert [e.buckets[0].elements for e in explanations] == [35, 35]
    assert [e.buckets[0].local_elements for e in explanations] == [20, 15]
    assert explanations[0].buckets[0].implementation == "fused"
    title, first = str(explanations[1]).splitlines()[1:3]
    assert title.split("  ")[0] == "group"
    assert "on this rank" in title
    assert "15" in first
    assert "S(0) over 2" in first


@pytest.mark.slow
def test_under_fsdp_it_runs_fused(seen: list[Any]) -> None:
    for of_rank in seen:
        ran, far, apart = of_rank["fully_sharded"]
        assert ran == ["fused"]
        # Gradients are means over the ranks, and so rounded otherwise.
        assert far < 1e-5
        assert apart < 1e-5
