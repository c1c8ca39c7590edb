"""Algorithms that look at whole tensors, on DTensors: beside torch's, where torch steps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

import optkit
from benchmarks.pairs import row
from benchmarks.sharded.collective_counter import CollectiveCounter
from benchmarks.sharded.elementwise import local, sharded
from benchmarks.sharded.turns import in_turns, pair

COUNT, SIDE = 24, 256

Make = Callable[[list[torch.nn.Parameter]], Any]
TORCH: dict[str, Make] = {"adafactor": torch.optim.Adafactor, "muon": torch.optim.Muon}
NAMES = ("lamb", "adafactor", "muon")


def measure(mesh: DeviceMesh, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of each algorithm, on each rank."""
    for name in NAMES:
        steps = dict(_steps(name, mesh))
        if "optkit" not in steps:
            continue
        times = in_turns(steps, repeats)
        what = f"{name} {COUNT} of {SIDE}x{SIDE}"
        if "torch" in steps:
            yield row(f"{what}, torch's", 1, pair(times, "torch", "optkit"), "ms", 1.0)
            counts = counted(steps["torch"], steps["optkit"])
            yield row(f"{what}, collectives", 1, counts, "calls", 1.0)
        else:
            counts = counted(steps["plain"], steps["optkit"])
            yield row(f"{what}, plain local shards", 1, pair(times, "plain", "optkit"), "ms", None)
            yield row(f"{what}, collectives (torch: none)", 1, counts, "calls", None)


def _steps(name: str, mesh: DeviceMesh) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the steps that work: optkit's, torch's on DTensors, optkit's on plain shards."""

    def ours(params: list[torch.nn.Parameter]) -> Any:
        return optkit.create(name, params)

    sides: dict[str, Make] = {"optkit": ours, "plain": ours}
    if name in TORCH:
        sides["torch"] = TORCH[name]
    for side, make in sides.items():
        params = sharded(mesh, COUNT, SIDE)
        optimizer = _started(make, local(params) if side == "plain" else params)
        if optimizer is not None:
            yield side, optimizer.step


def _started(make: Make, params: list[torch.nn.Parameter]) -> Any:
    """Return an optimizer after its first step, None where that is refused; rank 0 says why."""
    try:
        optimizer = make(params)
        optimizer.step()
    except (RuntimeError, NotImplementedError, optkit.OptkitError) as error:
        if dist.get_rank() == 0:
            print(f"left out: {type(error).__name__}: {str(error)[:160]}")
        return None
    return optimizer


def counted(theirs: Callable[[], Any], mine: Callable[[], Any]) -> tuple[float, float, float]:
    """Return how many collectives either call starts, and the ratio; that count, if theirs is none.

    Args:
        theirs: the other side.
        mine: optkit's.
    """
    counts = []
    for call in (theirs, mine):
        with CollectiveCounter() as counter:
            call()
        counts.append(len(counter.started))
    other, own = counts
    return other, own, own / max(other, 1)
