"""L-BFGS over shards beside torch's on DTensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

import optkit
from benchmarks.pairs import row
from benchmarks.sharded.collective_counter import CollectiveCounter
from benchmarks.sharded.elementwise import sharded
from benchmarks.sharded.turns import in_turns, pair

COUNT, SIDE = 4, 1024
CONDITION = 1e3
ITERATIONS = 10

SIDES: dict[str, Callable[..., Any]] = {"torch": torch.optim.LBFGS, "optkit": optkit.LBFGS}


def measure(mesh: DeviceMesh, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of L-BFGS with a line search, each time from the same start."""
    try:
        counts = {name: _counted(make, mesh) for name, make in SIDES.items()}
    except optkit.OptkitError as error:
        if dist.get_rank() == 0:
            print(f"L-BFGS doesn't step DTensors: {str(error)[:120]}")
        return
    what = f"lbfgs {COUNT * SIDE * SIDE / 1e6:.1f}M, {ITERATIONS} iterations"
    runs = {name: Solve(make, mesh) for name, make in SIDES.items()}
    times = in_turns(runs, repeats, warm_up=1)
    yield row(f"{what}, torch's", 1, pair(times, "torch", "optkit"), "ms", 1.0)
    figures = (counts["torch"], counts["optkit"], counts["optkit"] / counts["torch"])
    yield row(f"{what}, collectives outside the closure", 1, figures, "calls", 1.0)


class Solve:
    """One call of an optimizer's step on a quadratic, which no other call has begun.

    Args:
        make: the optimizer's class.
        mesh: of all ranks.
    """

    def __init__(self, make: Callable[..., Any], mesh: DeviceMesh) -> None:
        self.make = make
        self.params = sharded(mesh, COUNT, SIDE)
        self.starts = [p.detach().clone() for p in self.params]
        size = self.params[0].grad.to_local().shape
        generator = torch.Generator().manual_seed(1 + dist.get_rank())
        self.curvature = CONDITION ** -torch.rand(size, generator=generator)
        self.in_closure = 0

    def __call__(self) -> None:
        for p, start in zip(self.params, self.starts, strict=True):
            p.detach().copy_(start)
        options = {"max_iter": ITERATIONS, "history_size": 10, "line_search_fn": "strong_wolfe"}
        self.make(self.params, **options).step(self.closure)

    def closure(self) -> torch.Tensor:
        """Write the gradients; return the loss, the same number on each rank."""
        loss = torch.zeros(())
        for p in self.params:
            part, gradient = p.detach().to_local(), p.grad.to_local()
            torch.mul(part, self.curvature, out=gradient)
            loss += torch.dot(part.flatten(), gradient.flatten()) / 2
        dist.all_reduce(loss)
        self.in_closure += 1
        return loss


def _counted(make: Callable[..., Any], mesh: DeviceMesh) -> int:
    """Return how many collectives a call starts, without those of the closure."""
    solve = Solve(make, mesh)
    with CollectiveCounter() as counter:
        solve()
    return len(counter.started) - solve.in_closure
