"""The benchmark of shards, and what a step communicates: counted on ranks, real and simulated."""

from __future__ import annotations

from typing import Any

import pytest
from communicating import communication, measured
from processes import on_ranks

from benchmarks import table
from benchmarks.sharded.communication import simulated_ranks

RANKS = 4
NAMES = ["adamax", "lamb", "prodigy"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each of four ranks has found, in one start."""
    return on_ranks(measured, RANKS, tmp_path_factory.mktemp("ranks"), NAMES)


@pytest.mark.slow
def test_the_benchmark_has_its_rows(seen: list[Any]) -> None:
    rows = seen[0][0]
    for name in ("adamax", "adagrad"):
        found = {row["what"]: row for row in rows if row["what"].startswith(name)}
        beside = [row for what, row in found.items() if what.endswith("plain local shards")]
        assert len(beside) == 4 and all(row["ratio"] > 0 for row in beside)
        assert sorted({row["limit"] or 0 for row in beside}) == [0, 1.15, 1.5]
        (collectives,) = [row for what, row in found.items() if "collectives" in what]
        assert collectives["optkit"] == collectives["limit"] == 0
    assert any(row["what"].startswith("lamb") for row in rows)
    lines = table.markdown(rows)
    assert len(lines) == len(rows) + 2 and all(line.count("|") == 7 for line in lines)


@pytest.mark.slow
def test_every_rank_says_the_same_of_all_ranks(seen: list[Any]) -> None:
    times = [[(row["what"], row["torch"]) for row in found[0]] for found in seen]
    assert all(times[0] == others for others in times)


@pytest.mark.slow
def test_the_counter_knows_collectives_and_their_bytes(seen: list[Any]) -> None:
    gathers = [("allgather", 16), ("allgather", 16)]
    wanted = [("allreduce", 16), *gathers, ("alltoall", 16), ("broadcast", 4)]
    assert all(found[2] == wanted for found in seen)


@pytest.mark.slow
def test_simulated_ranks_communicate_as_real_ones_do(seen: list[Any]) -> None:
    for rank in range(RANKS):
        with simulated_ranks(RANKS, rank):
            simulated = communication(rank, NAMES)
        assert simulated == seen[rank][1]
