"""Steps of DTensors leave no objects behind, as those of torch's foreach and fused have done."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard, ones
from torch.utils._python_dispatch import TorchDispatchMode

import optkit
from benchmarks.sharded.communication import simulated_ranks

STEPS = 5


class SeenWhole(TorchDispatchMode):
    """Notes the operations that a DTensor takes part in."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            self.operations.append(str(func))
            return NotImplemented
        return func(*args, **(kwargs or {}))


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    with simulated_ranks(4):
        yield init_device_mesh("cpu", (4,))


def kept() -> int:
    """Return how many layouts, and findings about operations on them, are kept by anybody."""
    gc.collect()
    kinds = ("DTensorSpec", "OpSchema", "OpSpec", "OpStrategy", "OutputSharding")
    return sum(type(found).__name__ in kinds for found in gc.get_objects())


@pytest.mark.parametrize("name", ["adamw", "lamb", "muon"])
@pytest.mark.parametrize("implementation", ["forloop", "auto"])
def test_no_operation_of_a_step_is_one_of_whole_tensors(
    name: str, implementation: str, mesh: DeviceMesh
) -> None:
    params = [torch.nn.Parameter(whole(mesh)) for _ in range(3)]
    optimizer = optkit.create(name, params, implementation=implementation)

    def step() -> list[str]:
        for p in params:
            p.grad = whole(mesh)  # anew, as backward passes make them
        with SeenWhole() as seen:
            optimizer.step()
        return seen.operations

    for _ in range(4):  # by when all is noted that tells whether another step is the same
        step()
    before = kept()
    assert [step() for _ in range(STEPS)] == [[]] * STEPS
    assert kept() <= before


def whole(mesh: DeviceMesh) -> DTensor:
    return ones((8, 4), device_mesh=mesh, placements=[Shard(0)])
