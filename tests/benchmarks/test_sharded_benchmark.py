"""The benchmark of shards, and what a step communicates: counted on ranks, real and simulated."""

from __future__ import annotations

from typing import Any

import pytest
from communicating import SHAPES, communication, measured
from once import once
from processes import on_ranks
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard

from benchmarks import table
from benchmarks.sharded import decoder, model_costs
from benchmarks.sharded.communication import of_step, simulated_ranks

RANKS = 4
NAMES = ["adamax", "lamb", "adafactor", "prodigy", "muon", "lbfgs"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each of four ranks has found, in one start."""
    folder = tmp_path_factory.mktemp("ranks")
    return once(tmp_path_factory, "benchmark", lambda: on_ranks(measured, RANKS, folder, NAMES))


@pytest.mark.slow
def test_the_benchmark_has_its_rows(seen: list[Any]) -> None:
    rows = seen[0][0]
    for name in ("adamax", "adagrad"):
        found = {row["what"]: row for row in rows if row["what"].startswith(name)}
        beside = [row for what, row in found.items() if what.endswith("plain local shards")]
        assert [row["limit"] for row in beside] == [1.5, 1.15]
        assert all(row["ratio"] > 0 for row in beside)
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


MATRICES = [shape for shape in SHAPES if len(shape) == 2]
COUNTS = pytest.mark.parametrize("count", [4, 1000])


def step_of(name: str, count: int, shapes: list[tuple[int, ...]] = SHAPES, **options: Any) -> Any:
    """Return what a step communicates of tensors that are sharded by rows over so many ranks."""
    with simulated_ranks(count):
        return of_step(name, shapes, init_device_mesh("cpu", (count,)), [Shard(0)], **options)


@COUNTS
def test_costs_are_those_of_the_page(count: int) -> None:
    elementwise, reducing, totals = (step_of(name, count) for name in ("adamw", "lamb", "prodigy"))
    assert elementwise.collectives == () and elementwise.buckets == 1
    assert elementwise.state_bytes == 8 * elementwise.elements
    for found in (reducing, totals):
        assert [each.kind for each in found.collectives] == ["allreduce"]
        assert found.sent == 16 * len(SHAPES)
    assert reducing.state_bytes == 8 * reducing.elements
    assert totals.state_bytes == 16 * totals.elements


@COUNTS
def test_costs_of_rows_and_columns(count: int) -> None:
    found, columns = step_of("adafactor", count), sum(shape[1] for shape in MATRICES)
    assert {each.kind for each in found.collectives} == {"allreduce"}
    assert len(found.collectives) == 3 and found.buckets == 2
    assert 8 * columns < found.sent <= 8 * columns + 24 * len(SHAPES)


@COUNTS
def test_costs_of_whole_matrices(count: int) -> None:
    found = step_of("muon", count, MATRICES)
    there, back = found.collectives
    assert there.kind == back.kind == "alltoall"
    assert there.sent <= 12 * found.elements
    assert back.sent <= 8 * max(rows * columns for rows, columns in MATRICES)
    assert found.state_bytes == 4 * found.elements


@COUNTS
def test_costs_of_lbfgs(count: int) -> None:
    history, iterations = 5, 3
    options = {"max_iter": iterations, "history_size": history}
    found = step_of("lbfgs", count, **options)
    assert {each.kind for each in found.collectives} == {"allgather"}
    sent = [each.sent for each in found.collectives]
    assert sent.count(8 * 12) == found.evaluations
    assert 0 < sent.count(16 * history) <= iterations
    assert set(sent) == {8 * 12, 16 * history}


def test_rows_of_a_model() -> None:
    shapes = decoder.shapes(vocabulary=20, width=8, inner=12, depth=2)
    assert len(shapes) == 21 and len(decoder.hidden(shapes)) == 14
    with simulated_ranks(16):
        rows = list(model_costs.rows_of({"lamb": {}}, shapes, 16))
        rows += model_costs.rows_of({"muon": {"ns_steps": 1}}, decoder.hidden(shapes), 16)
    assert [(row["what"], row["ranks"], row["collectives"]) for row in rows] == [
        ("lamb", 16, 1),
        ("muon", 16, 2),
    ]
    lines = model_costs.markdown(rows)
    assert len(lines) == 4 and {line.count("|") for line in lines} == {8}
