"""The fused step on an NVIDIA GPU: against its memory's speed, and against torch's own steps."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

import optkit
from benchmarks.pairs import interleaved, row

HUGE = [(4096, 4096)] * 16
SMALL = [(64, 64)] * 200 + [(64,)] * 200
MOVED = 7
"""Numbers that an Adamax step reads and writes for each element: p, g, m, u and p, m, u."""

SHARE_OF_BANDWIDTH = 0.85
HOST_SECONDS = 200e-6
RIVALS: dict[str, tuple[Callable[..., Any], float]] = {
    "torch's foreach Adamax": (lambda params: torch.optim.Adamax(params, foreach=True), 0.5),
    "torch's fused Adam": (lambda params: torch.optim.Adam(params, fused=True), 1.0),
}


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each limit; none, and say so, where there is no such GPU."""
    if not torch.cuda.is_available() or torch.version.hip:
        print("cuda: skipped, there is no NVIDIA GPU here", file=sys.stderr)
        return
    print(f"cuda: {torch.cuda.get_device_name()}", file=sys.stderr)
    yield bandwidth(repeats)
    for rival, (theirs, limit) in RIVALS.items():
        other = theirs(parameters(SMALL))
        mine = optkit.create("adamax", parameters(SMALL), implementation="fused")
        pair = interleaved(awaited(other.step), awaited(mine.step), repeats)
        yield row(f"cuda step adamax 400 small, {rival}", 1, pair, "us", limit)
    seconds = host_seconds(repeats)
    pair = (HOST_SECONDS, seconds, seconds / HOST_SECONDS)
    yield row("cuda host time adamax 400 small (torch: allowed)", 1, pair, "us", 1.0)


def bandwidth(repeats: int) -> dict[str, Any]:
    """Return the time of a large step beside what a copy's bandwidth would allow for it."""
    params = parameters(HUGE)
    mine = optkit.create("adamax", params, implementation="fused")
    source = torch.empty(2**28, device="cuda").normal_()
    target = torch.empty_like(source)
    copy, step, _ = interleaved(awaited(lambda: target.copy_(source)), awaited(mine.step), repeats)
    bytes_per_second = 2 * source.numel() * source.itemsize / copy
    moved = sum(p.numel() * p.itemsize for p in params) * MOVED
    allowed = moved / bytes_per_second / SHARE_OF_BANDWIDTH
    return row(
        "cuda step adamax 16 huge (torch: allowed)", 1, (allowed, step, step / allowed), "ms", 1.0
    )


def host_seconds(repeats: int) -> float:
    """Return how long the host is busy with a step, with a device that always keeps up."""
    mine = optkit.create("adamax", parameters(SMALL), implementation="fused")
    found = []
    for _ in range(repeats + 3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        mine.step()
        found.append(time.perf_counter() - start)
    return statistics.median(found[3:])


def awaited(step: Callable[[], Any]) -> Callable[[], None]:
    """Return a step that ends when the device has done it."""

    def run() -> None:
        step()
        torch.cuda.synchronize()

    return run


def parameters(shapes: list[tuple[int, ...]]) -> list[torch.nn.Parameter]:
    generator = torch.Generator("cuda").manual_seed(0)
    params = [
        torch.nn.Parameter(torch.randn(s, generator=generator, device="cuda")) for s in shapes
    ]
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator, device="cuda") * 0.1
    return params
