"""What ranks do in tests of L-BFGS over shards: the same minimization as one process alone does."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import attrs
import torch
import torch.distributed as dist
from minimization import ALL_SEARCHES
from sharded import PLACEMENTS, forgetting_meshes, placed
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn import Parameter

from optkit_plugins.lbfgs import LBFGS, Line, Trial

SHAPES = [(4, 3), (5, 2), (1, 7), (3,), (1,)]
"""Even, uneven, with nothing for some rank."""

OPTIONS: dict[str, Any] = {"max_iter": 12, "tolerance_change": 0.0, "history_size": 4}


def halving(line: Line, step: float) -> Trial:
    """Halve the step until the loss falls, as a line search that a user writes."""
    trial = line.try_step(step)
    while not trial.loss < line.origin.loss:
        trial = line.try_step(trial.step / 2)
    return trial


SEARCHES = (*ALL_SEARCHES, halving)
EVERYWHERE = ("hager_zhang", "more_thuente")
"""What is tried in all placements on four ranks, and not by rows alone."""


class Quartic:
    """A loss of a list of parameters whose gradient is known, so that no rank has to be asked."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.start = [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]
        size = sum(value.numel() for value in self.start)
        mixing = torch.randn(size, size, generator=generator, dtype=torch.float64) / size**0.5
        self.matrix = mixing + torch.diag(torch.logspace(0, 1, size, dtype=torch.float64))

    def __call__(self, values: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the loss and its gradients at values of the whole parameters."""
        x = torch.cat([value.reshape(-1) for value in values])
        y = self.matrix @ x - 1
        gradient = self.matrix.t() @ (y + y**3)
        pieces = gradient.split([value.numel() for value in values])
        loss = (y**2 / 2 + y**4 / 4).sum()
        return loss, [g.view(v.shape) for g, v in zip(pieces, values, strict=True)]


def whole(p: Tensor) -> Tensor:
    """Return all elements of a parameter."""
    return p.detach().full_tensor() if isinstance(p, DTensor) else p.detach()


def like(p: Tensor, gradient: Tensor) -> Any:
    """Return a gradient distributed as its parameter is."""
    if not isinstance(p, DTensor):
        return gradient
    return placed(gradient, p.device_mesh, p.placements)


def minimized(
    params: Sequence[Tensor], search: Any, steps: int = 2, is_alone: bool = False, **options: Any
) -> list[Any]:
    """Take steps of L-BFGS; return how each went.

    Args:
        params: those of a quartic.
        search: the line search.
        steps: how many.
        is_alone: whether this process has the loss of all, and not that of its own batch.
        options: further arguments of the optimizer.
    """
    rate = 1e-3 if search is None else 1.0
    optimizer = LBFGS(params, **{"lr": rate, **OPTIONS, "line_search_fn": search, **options})
    return [stepped(optimizer, params, is_alone) for _ in range(steps)]


def stepped(optimizer: LBFGS, params: Sequence[Tensor], is_alone: bool = False) -> Any:
    """Take a step of an optimizer; return how it went."""
    problem = Quartic()
    own = 0.0 if is_alone else dist.get_rank() - (dist.get_world_size() - 1) / 2

    def closure() -> Tensor:
        loss, gradients = problem([whole(p) for p in params])
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = like(p, gradient)
        return loss + own

    optimizer.step(closure)
    return optimizer.result


def sharded(mesh: DeviceMesh, placements: Any) -> list[Any]:
    """Return the parameters of a quartic as DTensors."""
    return [Parameter(placed(value, mesh, placements)) for value in Quartic().start]


def alone() -> list[Parameter]:
    """Return the parameters of a quartic as they are in one process."""
    return [Parameter(value.clone()) for value in Quartic().start]


def difference(found: Sequence[Any], expected: Sequence[Any]) -> str:
    """Return how runs differ in more than rounding, or ``""``."""
    for one, other in zip(found, expected, strict=True):
        told = [(r.reason, r.iterations, r.evaluations) for r in (one, other)]
        if told[0] != told[1]:
            return f"{told[0]} instead of {told[1]}"
        pairs = [(one.loss, other.loss), *zip(one.steps, other.steps, strict=True)]
        if any(a is not None and abs(a - b) > 1e-6 * abs(b) for a, b in pairs):
            return f"losses or steps differ: {one} instead of {other}"
    return ""


@forgetting_meshes
def differences(mesh: DeviceMesh) -> list[str]:
    """Return where a minimization over ranks differs from that of whole tensors."""
    count, rank, found = mesh.size(), dist.get_rank(), list[str]()
    for search in SEARCHES:
        expected = minimized(alone(), search, is_alone=True)
        ways = list(PLACEMENTS[count].items())
        for how, placements in ways if count == 2 or search in EVERYWHERE else ways[:1]:
            params = sharded(mesh, placements)
            told = difference(minimized(params, search), expected)
            found += [f"{search}, {how}, rank {rank}: {told}"] * bool(told)
            found += [f"{search}, {how}, rank {rank}: replica {i}" for i in apart(params)]
    return found


def apart(params: Sequence[Tensor]) -> list[int]:
    """Return which parameters' copies differ between ranks in any bit."""
    return [index for index, p in enumerate(params) if not all(map(_agrees, _copies(p)))]


def _copies(p: Any) -> list[tuple[Tensor, Any]]:
    """Return what this rank has of a parameter, and the groups whose ranks have the same."""
    if not isinstance(p, DTensor):
        return [(p.detach(), dist.group.WORLD)]
    dims = [i for i, placement in enumerate(p.placements) if placement.is_replicate()]
    return [(p.to_local().detach(), p.device_mesh.get_group(dim)) for dim in dims]


def _agrees(copy: tuple[Tensor, Any]) -> bool:
    local, group = copy[0].contiguous(), copy[1]
    all_of_them = [torch.empty_like(local) for _ in range(dist.get_world_size(group))]
    dist.all_gather(all_of_them, local, group=group)
    return all(torch.equal(local, other) for other in all_of_them)


def mixed_placements(mesh: DeviceMesh) -> tuple[str, list[int]]:
    """Minimize over plain, replicated and sharded parameters, as tensor parallelism has them."""
    ways: list[Any] = [[Shard(0)], None, [Replicate()], [Shard(0)], None]
    values = Quartic().start
    params = [
        Parameter(value if way is None else placed(value, mesh, way * mesh.ndim))
        for value, way in zip(values, ways, strict=True)
    ]
    told = difference(
        minimized(params, "hager_zhang"), minimized(alone(), "hager_zhang", is_alone=True)
    )
    return told, apart([p for p, way in zip(params, ways, strict=True) if way != [Shard(0)]])


def groups_with_rates(mesh: DeviceMesh) -> str:
    """Minimize over groups with different learning rates."""
    runs = []
    for params in (sharded(mesh, [Shard(0)] * mesh.ndim), alone()):
        groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.25}]
        options = {**OPTIONS, "line_search_fn": "strong_wolfe"}
        optimizer = LBFGS(groups, **options)
        is_alone = not isinstance(params[0], DTensor)
        runs.append([stepped(optimizer, params, is_alone) for _ in range(2)])
    return difference(*runs)


def collectives(mesh: DeviceMesh) -> tuple[list[str], int, int]:
    """Return which collectives a step of L-BFGS makes, how many, and how many are allowed."""
    params = sharded(mesh, [Shard(0)] * mesh.ndim)
    optimizer = LBFGS(params, line_search_fn="hager_zhang", **OPTIONS)
    with CommDebugMode() as communication:
        result = stepped(optimizer, params)
    # What the closure does to see whole tensors goes another way.
    counts = {str(op): n for op, n in communication.get_comm_counts().items() if "c10d." in str(op)}
    return list(counts), sum(counts.values()), result.evaluations + result.iterations


def callback_of_one(mesh: DeviceMesh) -> tuple[str, int]:
    """Let the callback of the last rank say no after three iterations; return how that went."""
    params = sharded(mesh, [Shard(0)] * mesh.ndim)
    optimizer = LBFGS(params, line_search_fn="hager_zhang", **OPTIONS)
    if dist.get_rank() == dist.get_world_size() - 1:
        optimizer.callback = lambda progress: progress.iteration == 3
    result = stepped(optimizer, params)
    return result.reason, result.iterations


def memory(mesh: DeviceMesh, size: int = 60_000, history_size: int = 5) -> float:
    """Return how many bytes this rank has for vectors, as part of what is allowed."""
    p = Parameter(placed(torch.ones(size), mesh, [Shard(0)] * mesh.ndim))
    optimizer = LBFGS([p], history_size=history_size, max_iter=3, line_search_fn="hager_zhang")

    def closure() -> Tensor:
        p.grad = p.detach().clone()
        return (p.detach().full_tensor() ** 2).sum() / 2

    before = _storages()
    optimizer.step(closure)
    p.grad = None
    made = {place: n for place, n in _storages().items() if place not in before}
    allowed = (2 * history_size + 5) * p.element_size() * size / dist.get_world_size()
    return sum(made.values()) / allowed


def _storages() -> dict[int, int]:
    gc.collect()
    tensors = [t for t in gc.get_objects() if type(t) in (Tensor, Parameter)]
    storages = [t.untyped_storage() for t in tensors]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


def shown_gradients(mesh: DeviceMesh) -> bool:
    """Return whether the gradients after a step are DTensors, and of where the parameters are."""
    params = sharded(mesh, [Shard(0)] * mesh.ndim)
    minimized(params, "strong_wolfe", steps=1, max_eval=3, max_iter=9, lr=50.0)
    _, gradients = Quartic()([whole(p) for p in params])
    return all(
        isinstance(p.grad, DTensor)
        and p.grad.placements == p.placements
        and torch.allclose(whole(p.grad), gradient)
        for p, gradient in zip(params, gradients, strict=True)
    )


def plain_parts(mesh: DeviceMesh) -> str:
    """Minimize over plain tensors of which each rank has some, told of the process group."""
    wholes, rank = sharded(mesh, [Shard(0)] * mesh.ndim), dist.get_rank()
    parts = [Parameter(p.to_local().detach().clone()) for p in wholes]
    problem = Quartic()
    optimizer = LBFGS(
        parts, line_search_fn="hager_zhang", process_group=dist.group.WORLD, **OPTIONS
    )

    def closure() -> Tensor:
        for p, part in zip(wholes, parts, strict=True):
            p.to_local().detach().copy_(part.detach())
        loss, gradients = problem([whole(p) for p in wholes])
        for p, part, gradient in zip(wholes, parts, gradients, strict=True):
            part.grad = like(p, gradient).to_local()
        return loss + rank

    results: list[Any] = []
    for _ in range(2):
        optimizer.step(closure)
        results.append(optimizer.result)
    shift = (dist.get_world_size() - 1) / 2
    results = [attrs.evolve(r, loss=r.loss - shift) for r in results]
    return difference(results, minimized(alone(), "hager_zhang", is_alone=True))
