"""What ranks measure of each other: the benchmark of shards with tiny sizes, and collectives."""

from __future__ import annotations

from typing import Any

import importable_benchmarks  # noqa: F401, of ranks, which know nothing of conftest.py
import torch
import torch.distributed as dist
from algorithms import MATRIXWISE
from sharded import forgetting_meshes
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Placement, Replicate, Shard

from benchmarks.sharded import elementwise, minimizing, suite, whole_tensors
from benchmarks.sharded.collective_counter import CollectiveCounter
from benchmarks.sharded.communication import Communication, of_step

SHAPES = [(16, 12), (13, 8), (10,), (3, 5)]
"""Even, uneven, of one dim, with nothing for the last of four ranks."""

MESHES: dict[str, tuple[tuple[int, ...], list[Placement]]] = {
    "rows": ((4,), [Shard(0)]),
    "hybrid": ((2, 2), [Replicate(), Shard(0)]),
    "rows twice": ((2, 2), [Shard(0), Shard(0)]),
}
"""The shape of the mesh, and how each parameter is placed on it."""


FEW_SIZES = ("100 tensors, 0.2M", "6 tensors, 12.6M")
OPTIONS: dict[str, dict[str, Any]] = {"lbfgs": {"max_iter": 3, "history_size": 3}}


def shapes_for(name: str) -> list[tuple[int, ...]]:
    """Return the shapes that an algorithm takes."""
    return [shape for shape in SHAPES if len(shape) == 2 or name not in MATRIXWISE]


@forgetting_meshes
def communication(rank: int, names: list[str]) -> dict[tuple[str, str], Communication]:
    """Return what a step of each algorithm communicates on each mesh of four ranks."""
    return {
        (how, name): of_step(
            name,
            shapes_for(name),
            init_device_mesh("cpu", shape),
            placements,
            **OPTIONS.get(name, {}),
        )
        for how, (shape, placements) in MESHES.items()
        for name in names
        # Simulated replicas would all be owners, or none.
        if (how, name) != ("hybrid", "lbfgs")
    }


@forgetting_meshes
def measured(rank: int, names: list[str]) -> tuple[Any, ...]:
    """Return all that a test asks four ranks for: rows, collectives of steps, and known ones."""
    return tiny_rows(), communication(rank, names), known_collectives()


def tiny_rows() -> list[dict[str, Any]]:
    """Return the benchmark's rows for tensors of a few elements."""
    elementwise.SIZES = dict.fromkeys(FEW_SIZES, (3, 8))
    elementwise.TINY = (5, 4)
    whole_tensors.COUNT, whole_tensors.SIDE = 2, 8
    minimizing.COUNT, minimizing.SIDE = 2, 8
    return list(suite.rows_of(init_device_mesh("cpu", (dist.get_world_size(),)), 1))


def known_collectives() -> list[tuple[str, int]]:
    """Return what the counter says of one collective of each kind that optimizers use."""
    four, one = torch.zeros(4), torch.zeros(1)
    with CollectiveCounter() as counter:
        dist.barrier()
        dist.all_reduce(four)
        dist.all_gather([torch.zeros(4) for _ in range(4)], four)
        dist.all_gather_into_tensor(torch.zeros(16), four)
        dist.all_to_all_single(torch.zeros(4), four)
        dist.broadcast(one, 0)
    return [(collective.kind, collective.sent) for collective in counter.started]
