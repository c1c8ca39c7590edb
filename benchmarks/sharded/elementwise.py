"""Elementwise steps of DTensors beside those of plain local shards, and beside torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard, distribute_tensor

import optkit
from benchmarks.pairs import row
from benchmarks.sharded.collective_counter import CollectiveCounter
from benchmarks.sharded.turns import in_turns, pair

SIZES = {
    "100 tensors, 0.2M": (100, 44),
    "400 tensors, 3.3M": (400, 90),
    "72 tensors, 12.6M": (72, 418),
    "6 tensors, 12.6M": (6, 1448),
}
"""How many square matrices, and their side, by how they are called."""

BESIDE_SHARDS = {"100 tensors, 0.2M": 1.5, "72 tensors, 12.6M": 1.15, "6 tensors, 12.6M": 1.15}
"""The highest ratio to the fused step of plain local shards."""

TINY = (1000, 8)
MICROSECONDS_PER_TENSOR = 2.0

Side = Callable[[list[torch.nn.Parameter]], Any]
RIVALS: dict[str, dict[str, Side]] = {
    "adamax": {
        "torch's foreach": lambda params: torch.optim.Adamax(params, foreach=True),
        "torch's fused Adam": lambda params: torch.optim.Adam(params, fused=True),
    },
    # torch's fused Adagrad takes no DTensors.
    "adagrad": {"torch's foreach": lambda params: torch.optim.Adagrad(params, foreach=True)},
}


def measure(mesh: DeviceMesh, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of Adamax and Adagrad, on each rank."""
    for name in RIVALS:
        for size in SIZES:
            yield from _beside(name, size, mesh, repeats)
        yield _each_tiny(name, mesh, repeats)
        yield _collectives(name, mesh)


def sharded(mesh: DeviceMesh, count: int, side: int) -> list[torch.nn.Parameter]:
    """Return so many square matrices with gradients, both sharded by rows."""
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(_matrix(mesh, side, generator)) for _ in range(count)]
    for p in params:
        p.grad = _matrix(mesh, side, generator)
    return params


def _matrix(mesh: DeviceMesh, side: int, generator: torch.Generator) -> torch.Tensor:
    whole = torch.randn(side, side, generator=generator)
    # Every rank has made the same values, so none needs to send its own.
    return distribute_tensor(whole, mesh, [Shard(0)], src_data_rank=None)


def local(params: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Return plain parameters with what this rank has of some, gradients included."""
    plain = []
    for p in params:
        q = torch.nn.Parameter(_part(p.detach()))
        q.grad = _part(p.grad)
        plain.append(q)
    return plain


def _part(tensor: Any) -> torch.Tensor:
    part: torch.Tensor = tensor.to_local().clone()
    return part


def _beside(name: str, size: str, mesh: DeviceMesh, repeats: int) -> Iterator[dict[str, Any]]:
    shape = SIZES[size]
    rivals = {
        "plain local shards": optkit.create(name, local(sharded(mesh, *shape))),
        **{rival: make(sharded(mesh, *shape)) for rival, make in RIVALS[name].items()},
    }
    steps = {rival: optimizer.step for rival, optimizer in rivals.items()}
    steps["optkit"] = optkit.create(name, sharded(mesh, *shape)).step
    times = in_turns(steps, repeats)
    for rival in rivals:
        limit = BESIDE_SHARDS.get(size) if rival == "plain local shards" else 1.0
        yield row(f"{name} {size}, {rival}", 1, pair(times, rival, "optkit"), "ms", limit)


def _each_tiny(name: str, mesh: DeviceMesh, repeats: int) -> dict[str, Any]:
    """Return the row of what a tensor of next to no element costs, all told."""
    count, side = TINY
    step = optkit.create(name, sharded(mesh, count, side)).step
    _, found, _ = pair(in_turns({"optkit": step}, repeats), "optkit", "optkit")
    each, allowed = found / count, MICROSECONDS_PER_TENSOR / 1e6
    what = f"{name}, each of {count} tiny (torch: allowed)"
    return row(what, 1, (allowed, each, each / allowed), "us", 1.0)


def _collectives(name: str, mesh: DeviceMesh) -> dict[str, Any]:
    """Return the row of collectives in a step, of which none is allowed."""
    optimizer = optkit.create(name, sharded(mesh, 3, 8))
    optimizer.step()
    with CollectiveCounter() as counter:
        optimizer.step()
    found = len(counter.started)
    return row(f"{name}, collectives (torch: allowed)", 1, (0, found, float(found)), "calls", 0.0)
