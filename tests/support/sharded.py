"""What ranks do in tests with DTensors: steps beside those of whole tensors in the same process."""

from __future__ import annotations

import copy
import functools
import gc
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from algorithms import declared
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Placement,
    Replicate,
    Shard,
    _collective_utils,
    _redistribute,
    debug,
    distribute_tensor,
)
from torch.distributed.tensor.debug import CommDebugMode

import optkit

SHAPES = [(8, 6), (7, 5), (1, 19), (33,), (3,), (0, 4)]
"""Even, uneven, with nothing for some rank, above the SIMD width, of no element."""

STEPS = 5
MISSING = (2, 1)
"""A step, and the parameter that has no gradient in it."""

PLACEMENTS: dict[int, dict[str, list[Placement]]] = {
    2: {"rows": [Shard(0)], "columns": [Shard(-1)], "replicas": [Replicate()]},
    4: {
        "rows twice": [Shard(0), Shard(0)],
        "hybrid": [Replicate(), Shard(0)],
        "rows and columns": [Shard(0), Shard(-1)],
        "columns of replicas": [Shard(-1), Replicate()],
    },
}
"""How parameters are placed, by the number of ranks: on a line, or on two by two."""


def mesh_of(count: int) -> DeviceMesh:
    """Return all ranks, in a square if there are four."""
    return init_device_mesh("cpu", (2, 2) if count == 4 else (count,))


def values(seed: int) -> list[Tensor]:
    """Return a value for each parameter."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def placed(tensor: Tensor, mesh: DeviceMesh, placements: Sequence[Placement]) -> DTensor:
    """Return a tensor distributed over the mesh; one whose dims are too few along the first."""
    return distribute_tensor(tensor.clone(), mesh, placements, src_data_rank=None)


def as_sums(tensor: Tensor, mesh: DeviceMesh) -> DTensor:
    """Return a tensor as sums that are yet to be made: all of it is on the first rank."""
    first = dist.get_rank() == 0
    local = tensor.clone() if first else torch.zeros_like(tensor)
    return DTensor.from_local(local, mesh, [Partial()] * mesh.ndim, run_check=False)


def forgetting_meshes(work: Callable[..., Any]) -> Callable[..., Any]:
    """Let what a rank does leave no mesh in torch's caches, which would keep the process group."""

    @functools.wraps(work)
    def run(*arguments: Any) -> Any:
        try:
            return work(*arguments)
        finally:
            for clear in [*CACHES, *_caches_of_functions()]:
                clear()

    return run


CACHES = [
    debug._clear_sharding_prop_cache,
    _redistribute.clear_redistribute_planner_cache,
    _redistribute._gen_transform_infos.cache_clear,
    _collective_utils.MeshTopoInfo.build_from_mesh.cache_clear,
]
"""What empties the caches of DTensor, whose keys are specs, which refer to meshes."""


def _caches_of_functions() -> list[Callable[[], None]]:
    """Return what empties the caches of torch's functions about placements."""
    kind = functools._lru_cache_wrapper
    found = [one for one in gc.get_objects() if type(one) is kind]
    return [one.cache_clear for one in found if one.__module__.startswith("torch.distributed")]


@forgetting_meshes
def differences(
    rank: int, names: Sequence[str], few: Collection[str], implementations: Sequence[str]
) -> list[str]:
    """Return where steps of DTensors differ from those of the whole tensors, in any bit.

    Args:
        rank: of this process.
        names: of the algorithms.
        few: those that are tried in every placement, and not in the first alone.
        implementations: to be asked for.
    """
    mesh, found = mesh_of(dist.get_world_size()), []
    for number, (how, placements) in enumerate(PLACEMENTS[dist.get_world_size()].items()):
        for name in few if number else names:
            for implementation in implementations:
                case = f"{name} by {implementation}, {how}, rank {rank}"
                found += [f"{case}: {d}" for d in _compared(name, implementation, mesh, placements)]
    return found


def _compared(
    name: str, implementation: str, mesh: DeviceMesh, placements: Sequence[Placement]
) -> Iterator[str]:
    whole = [torch.nn.Parameter(value) for value in values(0)]
    parts = [torch.nn.Parameter(placed(value, mesh, placements)) for value in values(0)]
    options: Any = {"implementation": implementation, **declared(name, weight_decay=0.1)}
    reference, optimizer = (optkit.create(name, params, **options) for params in (whole, parts))
    for step in range(STEPS):
        for index, gradient in enumerate(values(step + 1)):
            is_missing = (step, index) == MISSING
            whole[index].grad = None if is_missing else gradient
            parts[index].grad = None if is_missing else placed(gradient, mesh, placements)
        reference.step()
        with CommDebugMode() as communication:
            optimizer.step()
        if communication.get_total_counts():
            yield f"step {step} communicates"
    ran = {choice.name for choice in optimizer.plan}
    if ran != {implementation}:
        yield f"{ran} ran"
    for index, (p, q) in enumerate(zip(whole, parts, strict=True)):
        pairs = {"parameter": (p.data, q.data), **_entries(reference, optimizer, p, q)}
        for what, (wanted, got) in pairs.items():
            if what != "step" and not isinstance(got, DTensor) and wanted.dim():
                yield f"{what} {index} is {type(got).__name__}"
            if not torch.equal(wanted, got.full_tensor() if isinstance(got, DTensor) else got):
                yield f"{what} {index} differs"


def _entries(reference: Any, optimizer: Any, p: Tensor, q: Tensor) -> dict[str, tuple[Any, Any]]:
    old, new = reference.state.get(p, {}), optimizer.state.get(q, {})
    assert old.keys() == new.keys()
    return {name: (old[name], new[name]) for name in old}


@forgetting_meshes
def runs(rank: int, cases: Sequence[Callable[[DeviceMesh], Any]]) -> list[Any]:
    """Return what each function returns for the mesh of all ranks.

    Args:
        rank: of this process.
        cases: functions of importable modules.
    """
    mesh = mesh_of(dist.get_world_size())
    return [case(mesh) for case in cases]


def one(
    mesh: DeviceMesh, shape: tuple[int, ...] = (7, 5), **options: Any
) -> tuple[Any, Any, Tensor, Tensor]:
    """Return an optimizer of one sharded parameter, that parameter, its value and a gradient."""
    generator = torch.Generator().manual_seed(7)
    value, gradient = (torch.randn(shape, generator=generator) for _ in range(2))
    p = torch.nn.Parameter(placed(value, mesh, [Shard(0)] * mesh.ndim))
    return optkit.create("adamax", [p], lr=0.1, **options), p, value, gradient


def stepped(value: Tensor, gradients: Sequence[Tensor], name: str = "adamax") -> Tensor:
    """Return where whole tensors get to by one step for each gradient."""
    p = torch.nn.Parameter(value.clone())
    optimizer = optkit.create(name, [p], lr=0.1)
    for gradient in gradients:
        p.grad = gradient.clone()
        optimizer.step()
    return p.detach()


def sums_are_made(mesh: DeviceMesh) -> tuple[bool, int]:
    """Step along partial sums; return whether that was right, and how often ranks communicated."""
    optimizer, p, value, gradient = one(mesh)
    counts = []
    for _ in range(3):
        p.grad = as_sums(gradient, mesh)
        with CommDebugMode() as communication:
            optimizer.step()
        counts.append(communication.get_total_counts())
    return torch.equal(p.full_tensor(), stepped(value, [gradient] * 3)), max(counts)


def replaced_elements_are_seen(mesh: DeviceMesh) -> bool:
    """Let a parameter keep its elements elsewhere between two steps, as engines do."""
    optimizer, p, value, gradient = one(mesh)
    for _ in range(3):
        p.grad = placed(gradient, mesh, [Shard(0)] * mesh.ndim)
        p._local_tensor = p._local_tensor.clone()
        optimizer.step()
    return torch.equal(p.full_tensor(), stepped(value, [gradient] * 3))


def replaced_state_is_seen(mesh: DeviceMesh) -> bool:
    """Put another tensor into the state between two steps."""
    optimizer, p, _, gradient = one(mesh)
    for _ in range(3):
        p.grad = placed(gradient, mesh, [Shard(0)] * mesh.ndim)
        optimizer.step()
        fresh = torch.zeros_like(optimizer.state[p]["exp_avg"])
        optimizer.state[p]["exp_avg"] = fresh
    optimizer.step()
    return torch.equal(fresh.full_tensor(), (0.1 * gradient)) and bool(fresh.full_tensor().any())


def gradients_go(mesh: DeviceMesh) -> bool:
    """Return whether nothing holds a gradient beyond its step, nor the part of it."""
    optimizer, p, _, gradient = one(mesh)
    for _ in range(3):
        p.grad = placed(gradient, mesh, [Shard(0)] * mesh.ndim)
        part = weakref.ref(p.grad._local_tensor)
        optimizer.step()
        optimizer.zero_grad()
    return part() is None


def plain_ones_step_along(mesh: DeviceMesh) -> tuple[int, bool]:
    """Step DTensors and a plain tensor; return how many buckets that takes, and if it was right."""
    generator = torch.Generator().manual_seed(7)
    value, gradient = (torch.randn(9, 4, generator=generator) for _ in range(2))
    p = torch.nn.Parameter(placed(value, mesh, [Shard(0)] * mesh.ndim))
    q = torch.nn.Parameter(value.clone())
    optimizer: Any = optkit.create("adamax", [p, q], lr=0.1)
    for _ in range(3):
        p.grad, q.grad = placed(gradient, mesh, [Shard(0)] * mesh.ndim), gradient.clone()
        optimizer.step()
    return len(optimizer.explain().buckets), torch.equal(p.full_tensor(), q.data)


def explained(mesh: DeviceMesh) -> Any:
    """Return the explanation of a step of a shard."""
    return one(mesh)[0].explain()


def fully_sharded(mesh: DeviceMesh) -> tuple[list[str], float, float]:
    """Train a model under FSDP2; return what ran, and how far it and its state end from one alone.

    The state is compared as torch's distributed checkpoints see it.
    """
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(9, 17), torch.nn.Tanh(), torch.nn.Linear(17, 1))
    alone = copy.deepcopy(model)
    fully_shard(model, mesh=mesh)
    inputs = torch.linspace(-1, 1, 72).reshape(8, 9)
    optimizers: list[Any] = [optkit.create("adamax", m.parameters()) for m in (model, alone)]
    for _ in range(4):
        for net, optimizer in zip((model, alone), optimizers, strict=True):
            optimizer.zero_grad()
            net(inputs).square().mean().backward()
            optimizer.step()
    options = StateDictOptions(full_state_dict=True)
    pairs = zip((model, alone), optimizers, strict=True)
    states = [get_optimizer_state_dict(net, o, options=options)["state"] for net, o in pairs]
    ends = [get_model_state_dict(net, options=options) for net in (model, alone)]
    far = max(float((a - ends[0][name]).abs().max()) for name, a in ends[1].items())
    apart = max(
        float((entry - states[0][name][key]).abs().max())
        for name, state in states[1].items()
        for key, entry in state.items()
    )
    return [choice.name for choice in optimizers[0].plan], far, apart
