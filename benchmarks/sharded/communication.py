"""What a step communicates and keeps on a rank, found by taking one.

A step under simulated ranks is the real step of one rank: parameters, state and collectives are
made as they would be, and what other ranks would send is taken to be what this one sends. So the
number of collectives and their bytes can be had for thousands of ranks, in one process. Nothing
is timed, and numbers that come from others mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from attrs import frozen
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, ones
from torch.utils._python_dispatch import TorchDispatchMode

import optkit
from benchmarks.sharded.collective_counter import Collective, CollectiveCounter


@frozen
class Communication:
    """What one step does on one rank.

    Attributes:
        collectives: in their order.
        elements: of parameters, on this rank.
        state_bytes: of the state, on this rank.
        buckets: what is stepped together; a fused elementwise step is one launch for each.
        evaluations: calls of the closure.
    """

    collectives: tuple[Collective, ...]
    elements: int
    state_bytes: int
    buckets: int
    evaluations: int

    @property
    def sent(self) -> int:
        """Bytes that the rank puts into collectives."""
        return sum(collective.sent for collective in self.collectives)


@contextmanager
def simulated_ranks(count: int, rank: int = 0) -> Iterator[None]:
    """Let this process be one of so many ranks, of which there are no others.

    Args:
        count: how many.
        rank: which one this is (default the first).
    """
    # torch registers the backend "fake" by this import; it is what torch's own tests use.
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=count)
    try:
        with ZerosCome():
            yield
    finally:
        dist.destroy_process_group()


class ZerosCome(TorchDispatchMode):
    """Lets simulated ranks send zeros by all-to-all.

    The backend would take them from what this rank sends, which may be nothing, or too little.
    """

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented
        if func is torch.ops.c10d.alltoall_base_.default:
            received, _, group, splits, _, *others = args
            args = (received, torch.zeros_like(received), group, splits, splits, *others)
        return func(*args, **(kwargs or {}))


def of_step(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    mesh: DeviceMesh,
    placements: Sequence[Placement],
    **options: Any,
) -> Communication:
    """Take two steps of an algorithm, and return what the second one does.

    Args:
        name: of the algorithm.
        shapes: of the whole parameters.
        mesh: of real ranks, or of simulated ones.
        placements: of each parameter, one for each dim of the mesh.
        **options: of the optimizer.
    """
    bowl = Bowl(shapes, mesh, placements)
    optimizer = optkit.create(name, bowl.params, **options)
    optimizer.step(bowl)
    bowl.evaluations = 0
    with CollectiveCounter() as counter:
        optimizer.step(bowl)
    return Communication(
        tuple(counter.started),
        sum(_part(p).numel() for p in bowl.params),
        state_bytes(optimizer),
        len(optimizer.explain().buckets),
        bowl.evaluations,
    )


class Bowl:
    """A sum of squares as a closure, which needs no other rank itself.

    Args:
        shapes: of the parameters.
        mesh: of the ranks.
        placements: of each parameter.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], mesh: DeviceMesh, placements: Sequence[Placement]
    ) -> None:
        self.params = [torch.nn.Parameter(_made(shape, mesh, placements)) for shape in shapes]
        for p in self.params:
            p.grad = _made(p.shape, mesh, placements)
        self.ranks = mesh.size()
        self.evaluations = 0

    def __call__(self) -> torch.Tensor:
        """Write the gradients; return this rank's loss, of which the mean counts."""
        self.evaluations += 1
        loss = torch.zeros(())
        for p in self.params:
            part, gradient = _part(p.detach()), _part(p.grad)
            curvature = torch.linspace(0.1, 1.0, max(part.numel(), 1))[: part.numel()]
            torch.mul(part, curvature.view(part.shape), out=gradient)
            loss += torch.dot(part.flatten(), gradient.flatten()) / 2
        return loss * self.ranks


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of an optimizer's state on this rank, step counters not counted."""
    entries = [entry for state in optimizer.state.values() for entry in state.items()]
    return sum(
        _part(value).nbytes
        for name, value in entries
        if name != "step" and isinstance(value, torch.Tensor)
    )


def _made(shape: Sequence[int], mesh: DeviceMesh, placements: Sequence[Placement]) -> DTensor:
    # Each rank makes its part alone, so that a model may be larger than this machine.
    return ones(shape, device_mesh=mesh, placements=placements)


def _part(tensor: Any) -> torch.Tensor:
    part: torch.Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return part
