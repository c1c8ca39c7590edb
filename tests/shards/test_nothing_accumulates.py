"""Steps of DTensors leave no objects behind, as those of torch's foreach and fused have done."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Shard, ones

import optkit
from benchmarks.sharded.communication import simulated_ranks

STEPS = 5


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    with simulated_ranks(4):
        yield init_device_mesh("cpu", (4,))


def remembered() -> int:
    """Return how many things there are that DTensor keeps of operations and of layouts."""
    gc.collect()
    kinds = ("DTensorSpec", "OpSchema", "OpSpec", "OpStrategy", "OutputSharding")
    return sum(type(found).__name__ in kinds for found in gc.get_objects())


def a_step(optimizer: Any) -> None:
    """Take a step with gradients that are new, as those of a backward pass are."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = ones(p.shape, device_mesh=p.device_mesh, placements=p.placements)
    optimizer.step(lambda: torch.ones(()))


@pytest.mark.parametrize("name", ["adamw", "lamb", "adafactor", "prodigy", "muon"])
@pytest.mark.parametrize("implementation", ["forloop", "foreach", "auto"])
def test_a_step_leaves_as_much_as_the_one_before(
    name: str, implementation: str, mesh: DeviceMesh
) -> None:
    params = [torch.nn.Parameter(ones((8, 4), device_mesh=mesh, placements=[Shard(0)]))]
    optimizer = optkit.create(name, params, implementation=implementation)
    for _ in range(2):
        a_step(optimizer)
    before = remembered()
    for _ in range(STEPS):
        a_step(optimizer)
    assert remembered() <= before
