"""Matrix algorithms step shards as they step whole matrices: each of them has an owner."""

from __future__ import annotations

from functools import partial
from typing import Any

import exchanged
import pytest
import sharded
from once import once
from processes import on_ranks

pytestmark = pytest.mark.slow


BY_TWO = [
    exchanged.differences,
    exchanged.collectives,
    exchanged.gradients_that_lie_otherwise,
    exchanged.shares,
    exchanged.nothing_stays,
    exchanged.what_is_replaced_is_seen,
    exchanged.plain_ones_step_along,
    exchanged.explained,
    exchanged.under_fsdp,
    exchanged.compiled,
]
BY_FOUR = [
    exchanged.differences,
    exchanged.in_two_dimensions,
    exchanged.some_of_the_ranks,
    exchanged.shares,
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: Any) -> list[dict[str, Any]]:
    return _by_name(BY_TWO, 2, tmp_path_factory)


@pytest.fixture(scope="module")
def seen_by_four(tmp_path_factory: Any) -> list[dict[str, Any]]:
    return _by_name(BY_FOUR, 4, tmp_path_factory)


def _by_name(cases: list[Any], count: int, folders: Any) -> list[dict[str, Any]]:
    names, folder = [case.__name__ for case in cases], folders.mktemp("ranks")
    found = partial(on_ranks, sharded.runs, count, folder, cases)
    results = once(folders, f"matrices{count}", found)
    return [dict(zip(names, of_rank, strict=True)) for of_rank in results]


@pytest.mark.parametrize("by", ["seen", "seen_by_four"])
def test_every_placement_steps_as_whole_matrices_do(by: str, request: Any) -> None:
    """In the same bits, where batches are the same; replicas always have the same bits."""
    found = [of_rank["differences"] for of_rank in request.getfixturevalue(by)]
    assert [difference for of_rank, _ in found for difference in of_rank] == []
    assert all(ends == found[0][1] for _, ends in found)


def test_collectives_are_two_however_many_matrices_there_are(seen: list[Any]) -> None:
    assert [of_rank["collectives"] for of_rank in seen] == [[2, 2]] * 2


def test_gradients_of_matrices_that_lie_otherwise_are_redistributed(seen: list[Any]) -> None:
    assert all(of_rank["gradients_that_lie_otherwise"] for of_rank in seen)


def test_buffers_take_as_much_memory_as_a_rank_has_of_the_parameter(
    seen: list[Any], seen_by_four: list[Any]
) -> None:
    assert [set(of_rank["shares"].values()) for of_rank in seen] == [{1 / 2}] * 2
    assert len(seen[0]["shares"]) == 6
    assert [set(of_rank["shares"].values()) for of_rank in seen_by_four] == [{1 / 4}] * 4


def test_whole_matrices_take_no_memory_after_the_step(seen: list[Any]) -> None:
    """There are those of the first step in the second one, of parameter, gradient and momentum."""
    assert [of_rank["nothing_stays"] for of_rank in seen] == [[True] * 6] * 2


def test_what_travels_is_found_anew_where_tensors_are_replaced(seen: list[Any]) -> None:
    assert all(of_rank["what_is_replaced_is_seen"] for of_rank in seen)


def test_plain_matrices_step_as_if_alone(seen: list[Any]) -> None:
    assert all(of_rank["plain_ones_step_along"] for of_rank in seen)


def test_an_explanation_tells_how_many_matrices_a_rank_owns(seen: list[Any]) -> None:
    """The largest one costs more than both others together."""
    explanations = [of_rank["explained"] for of_rank in seen]
    assert [e.buckets[0].owned for e in explanations] == [1, 2]
    title, first = str(explanations[1]).splitlines()[1:3]
    assert "owned  placements   runs" in title
    assert "2      S(0) over 2  foreach" in first


def test_muon_and_adamw_train_a_transformer_under_fsdp(seen: list[Any]) -> None:
    for of_rank in seen:
        far, communicated, resumes = of_rank["under_fsdp"]
        # Gradients are means over the ranks, and Muon's products are of bfloat16.
        assert far < 1e-3
        assert communicated == 2
        assert resumes


def test_a_compiled_step_exchanges_matrices_too(seen: list[Any]) -> None:
    assert all(of_rank["compiled"] for of_rank in seen)


def test_tensor_parallelism_under_fsdp_steps_as_whole_matrices_do(seen_by_four: list[Any]) -> None:
    assert [of_rank["in_two_dimensions"] for of_rank in seen_by_four] == [[]] * 4


def test_meshes_of_some_of_the_ranks_exchange_among_themselves(seen_by_four: list[Any]) -> None:
    assert all(of_rank["some_of_the_ranks"] for of_rank in seen_by_four)
