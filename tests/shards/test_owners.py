"""Who owns which matrix, and which elements of it each rank of a mesh holds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard
from torch.testing._internal.distributed.fake_pg import FakeStore

import optkit
from optkit_core import GroupError, torch_private
from optkit_core.shards import owners
from optkit_core.shards.meshes import MeshRanks
from optkit_core.shards.regions import boxes, part_shape


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_no_owner_has_a_third_more_than_the_best_assignment_could_leave(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    sizes = torch.randint(1, 1000, (40,), generator=generator).tolist()
    loads = [0] * count
    for size, owner in zip(sizes, owners.assigned(sizes, count), strict=True):
        loads[owner] += size
    assert max(loads) <= 4 / 3 * max(sum(sizes) / count, *sizes)


def test_a_costly_matrix_is_balanced_by_many_cheap_ones() -> None:
    assert owners.assigned([6, 1, 1, 1, 1, 1, 1], 2) == [0, 1, 1, 1, 1, 1, 1]


def test_matrices_without_an_element_are_spread_too() -> None:
    assert sorted(owners.assigned([0] * 4, 2)) == [0, 0, 1, 1]
    assert owners.assigned([], 2) == []


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=6)
    yield init_device_mesh("cpu", (3, 2))
    torch.distributed.destroy_process_group()


SHAPES = [(8, 6), (7, 5), (2, 9), (1, 1), (0, 4), (13, 2, 3)]
WAYS = [Replicate(), Shard(0), Shard(1)]
TWICE = (_StridedShard(0, split_factor=2), Shard(0))


@pytest.mark.parametrize("placements", [*product(WAYS, WAYS), TWICE], ids=str)
def test_the_sources_have_each_element_once(placements: tuple[Any, ...], mesh: Any) -> None:
    """Whoever owns a tensor, and whether it divides by the numbers of ranks or not."""
    ranks = MeshRanks(mesh)
    for shape, owner in product(SHAPES, range(6)):
        seen = torch.zeros(shape)
        sources = ranks.sources(placements, owner)
        for place in (ranks.coordinates[rank] for rank in sources):
            part = torch.zeros(part_shape(shape, ranks.shape, placements, place))
            for box in boxes(shape, ranks.shape, placements, place):
                seen[box.of_whole] += 1
                part[box.of_part] += 1
            assert bool((part == 1).all())
        assert bool((seen == 1).all())
        assert (owner in sources) or Replicate() not in placements


def test_shards_of_shards_lie_in_the_order_of_both(mesh: Any) -> None:
    """Eight rows are halved first, and each half goes to three ranks, as torch's chunks do."""
    rows = [
        [box.of_whole[0] for box in boxes((8,), (3, 2), TWICE, place)]
        for place in MeshRanks(mesh).coordinates
    ]
    assert rows == [[slice(0, 2)], [slice(4, 6)], [slice(2, 4)], [slice(6, 8)], [], []]


def test_shards_of_shards_are_refused_where_torch_does_not_tell_of_what(
    mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = torch.ones(part_shape((8, 4), (3, 2), TWICE, (0, 0)))
    p = torch.nn.Parameter(
        DTensor.from_local(part, mesh, TWICE, run_check=False, shape=(8, 4), stride=(4, 1))
    )
    optkit.create("muon", [p])
    monkeypatch.setattr(torch_private, "SPLIT_FACTOR", "missing")
    with pytest.raises(GroupError, match="parameter 0 of group 0 is placed as _S"):
        optkit.create("muon", [p])
