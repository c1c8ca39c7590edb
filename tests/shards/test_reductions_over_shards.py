"""Bodies that reduce step what a rank holds of DTensors, and complete reductions over the mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import reduced_shards
import sharded
from algorithms import ELEMENTWISE
from once import once
from processes import on_ranks

REDUCING = [name for name, algorithm in ELEMENTWISE.items() if algorithm.completes_reductions()]
IMPLEMENTATIONS = ("forloop", "foreach", "fused")


def test_these_reduce() -> None:
    assert {"adafactor", "lamb", "lars", "prodigy"} <= {*REDUCING}


@pytest.mark.slow
@pytest.mark.parametrize("count", sharded.PLACEMENTS)
def test_every_placement_steps_as_whole_tensors_do(count: int, tmp_path: Path) -> None:
    found = on_ranks(reduced_shards.differences, count, tmp_path, REDUCING, IMPLEMENTATIONS)
    assert [difference for of_rank in found for difference in of_rank] == []


@pytest.fixture(scope="module")
def seen(tmp_path_factory: Any) -> list[Any]:
    cases = [
        reduced_shards.counted,
        reduced_shards.what_is_not_finite,
        reduced_shards.whole_ones,
    ]
    folder = tmp_path_factory.mktemp("ranks")
    results = once(tmp_path_factory, "reductions", lambda: on_ranks(sharded.runs, 2, folder, cases))
    names = [case.__name__ for case in cases]
    return [dict(zip(names, of_rank, strict=True)) for of_rank in results]


@pytest.mark.slow
def test_collectives_are_those_of_passes_whatever_the_number_of_tensors(seen: list[Any]) -> None:
    for of_rank in seen:
        counts = of_rank["counted"]
        assert {key: few for key, (few, _) in counts.items()} == {
            key: many for key, (_, many) in counts.items()
        }
        for name in ("lamb", "lars", "prodigy"):
            assert {counts[f"{name} {how}"][0] for how in IMPLEMENTATIONS} == {1}
        assert {counts[f"adafactor {how}"][0] for how in IMPLEMENTATIONS} == {3}


@pytest.mark.slow
def test_what_is_not_finite_on_one_rank_is_so_on_all(seen: list[Any]) -> None:
    assert [of_rank["what_is_not_finite"] for of_rank in seen] == [[], []]


@pytest.mark.slow
def test_a_body_that_cannot_be_traced_gets_whole_tensors(seen: list[Any]) -> None:
    for rows, of_rank in zip([4, 3], seen, strict=True):
        assert of_rank["whole_ones"] == (["forloop"], True, (rows,))
