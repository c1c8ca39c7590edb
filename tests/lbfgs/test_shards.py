"""L-BFGS over shards: what one process does with whole tensors, by parts on many ranks."""

from __future__ import annotations

from typing import Any

import pytest
import sharded
import sharded_minimization as cases
import sharded_training as training
from once import once
from processes import on_ranks

pytestmark = pytest.mark.slow

RANKS = (2, 4)


CASES = [
    cases.differences,
    cases.mixed_placements,
    cases.groups_with_rates,
    cases.collectives,
    cases.callback_of_one,
    cases.memory,
    cases.shown_gradients,
    training.fully_sharded,
]
ON_A_LINE = [cases.plain_parts, training.bare_parts, training.flat_parameters]


@pytest.fixture(scope="module", params=RANKS)
def seen(request: Any, tmp_path_factory: Any) -> list[Any]:
    chosen = CASES + (ON_A_LINE if request.param == 2 else [])
    results = once(
        tmp_path_factory,
        f"lbfgs{request.param}",
        lambda: on_ranks(sharded.runs, request.param, tmp_path_factory.mktemp("ranks"), chosen),
    )
    names = [case.__name__ for case in chosen]
    return [dict(zip(names, of_rank, strict=True)) for of_rank in results]


def test_every_search_takes_the_steps_of_one_process(seen: list[Any]) -> None:
    assert [difference for of_rank in seen for difference in of_rank["differences"]] == []


def test_placements_may_be_mixed(seen: list[Any]) -> None:
    assert [of_rank["mixed_placements"] for of_rank in seen] == [("", [])] * len(seen)


def test_groups_have_rates_of_their_own(seen: list[Any]) -> None:
    assert [of_rank["groups_with_rates"] for of_rank in seen] == [""] * len(seen)


def test_an_evaluation_and_an_iteration_communicate_once(seen: list[Any]) -> None:
    for of_rank in seen:
        kinds, made, allowed = of_rank["collectives"]
        assert kinds == ["c10d.allgather_"]
        assert 0 < made <= allowed


def test_a_callback_on_one_rank_ends_the_step_on_all(seen: list[Any]) -> None:
    assert [of_rank["callback_of_one"] for of_rank in seen] == [("callback", 3)] * len(seen)


def test_a_rank_keeps_the_vectors_of_its_elements(seen: list[Any]) -> None:
    for of_rank in seen:
        assert of_rank["memory"] == pytest.approx(1, abs=0.02)


def test_gradients_are_shown_as_dtensors(seen: list[Any]) -> None:
    assert all(of_rank["shown_gradients"] for of_rank in seen)


def test_under_fsdp_each_rank_has_rows_of_its_own(seen: list[Any]) -> None:
    assert [of_rank["fully_sharded"] for of_rank in seen] == [""] * len(seen)


@pytest.mark.parametrize("seen", [2], indirect=True)
class TestPlainParts:
    def test_they_are_summed_over_the_process_group(self, seen: list[Any]) -> None:
        assert [of_rank["plain_parts"] for of_rank in seen] == [""] * 2

    def test_bare_parts_of_a_model_are_refused(self, seen: list[Any]) -> None:
        for of_rank in seen:
            assert "part of 'weight', a DTensor" in of_rank["bare_parts"]
            assert "process_group=" in of_rank["bare_parts"]

    def test_flat_parameters_are_refused_without_a_group(self, seen: list[Any]) -> None:
        for of_rank in seen:
            flat, first, original, second = of_rank["flat_parameters"]
            assert "process_group=" in flat and "process_group=" in original
            assert first == second == ""
