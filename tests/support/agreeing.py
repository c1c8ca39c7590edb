"""What two ranks do in tests of what they decide alike, each with settings of its own."""

from __future__ import annotations

import gc
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from sharded import as_sums, one, placed, stepped
from torch._dynamo.testing import CompileCounter
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

import optkit
from optkit_core.errors import OptkitError
from optkit_core.implementations import foreach, forloop, joint_steps
from optkit_core.native import tensor_reader_loader

SHARDED, WHOLE = [Shard(0)], [Replicate()]


@contextmanager
def settings(**given: str) -> Iterator[None]:
    """Set environment variables of the last rank alone."""
    before = dict(os.environ)
    if dist.get_rank() == dist.get_world_size() - 1:
        os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        tensor_reader_loader.forget()


@contextmanager
def no_compiler() -> Iterator[None]:
    """Let the last rank have neither a compiler nor anything compiled."""
    folder = tempfile.mkdtemp()
    with settings(CXX="no-such-compiler", OPTKIT_CACHE_DIR=folder):
        yield


def parameter(
    mesh: DeviceMesh, shape: Sequence[int], placements: Sequence[Placement]
) -> torch.nn.Parameter:
    """Return a parameter of some values, placed alike over all dims of a mesh."""
    generator = torch.Generator().manual_seed(3)
    value = torch.randn(*shape, generator=generator)
    return torch.nn.Parameter(placed(value, mesh, [*placements] * mesh.ndim))


def give(params: Sequence[Any], seed: int, scale: float = 1.0) -> None:
    """Give parameters gradients that lie as they do."""
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        gradient = torch.randn(p.shape, generator=generator) * scale
        is_whole = not isinstance(p, DTensor)
        p.grad = gradient if is_whole else placed(gradient, p.device_mesh, p.placements)


def said(function: Any, *arguments: Any, **options: Any) -> str:
    """Return what an error of optkit says, ``""`` where there is none."""
    try:
        function(*arguments, **options)
    except OptkitError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def bits(*tensors: Any) -> int:
    """Return a checksum of this rank's elements as they lie in memory."""
    parts = [p.to_local() if isinstance(p, DTensor) else p for p in tensors]
    words = [p.detach().contiguous().view(torch.uint8).numpy().tobytes() for p in parts]
    return zlib.crc32(b"".join(words))


def without_a_compiler(mesh: DeviceMesh) -> tuple[list[str], dict[str, str], int, int]:
    """Step a shard, a replica and a plain tensor where one rank can't compile."""
    params = [parameter(mesh, (1, 301), SHARDED), parameter(mesh, (5, 13), WHOLE)]
    params.append(torch.nn.Parameter(torch.linspace(-1, 1, 7)))
    with no_compiler():
        with rounds() as counted_rounds:
            optimizer: Any = optkit.create("adagrad", params, lr=0.1)
        explanation = optimizer.explain()
        for step in range(50):
            give(params, step)
            optimizer.step()
    names = [choice.name for choice in optimizer.plan]
    replicas = bits(*params[1:])
    return names, dict(explanation.buckets[0].rejected), replicas, len(counted_rounds)


def requests_that_a_rank_cannot_meet(mesh: DeviceMesh) -> list[str]:
    """Ask for kernels where one rank has no compiler, and ask in other ways on one rank."""
    params, texts = [parameter(mesh, (4, 4), SHARDED)], []
    with no_compiler():
        texts.append(said(optkit.create, "rprop", params, implementation="fused"))
    with settings(OPTKIT_IMPLEMENTATION="foreach"):
        texts.append(said(optkit.create, "adamax", params))
        optkit.create("adamax", [torch.zeros(3)])  # that is a rank's own affair
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write('implementation = "forloop"')
        file.flush()
        with settings(OPTKIT_CONFIG=file.name):
            texts.append(said(optkit.create, "adamax", params))
    texts.append(said(optkit.create, "adamax", params, capturable=dist.get_rank() == 0))
    return texts


def companions(mesh: DeviceMesh) -> list[int]:
    """Step replicas among shards that have other sizes on each rank; return their bits."""
    ends = []
    for implementation in ("auto", "fused", "foreach", "forloop"):
        for name in ("adamax", "nadam"):
            shards = [parameter(mesh, (1, 90 + i), SHARDED) for i in range(3)]
            replicas = [parameter(mesh, (5, 8), WHOLE) for _ in range(3)]
            params = [p for pair in zip(shards, replicas, strict=True) for p in pair]
            optimizer = optkit.create(name, params, implementation=implementation)
            for step in range(50):
                give(params, step)
                optimizer.step()
            ends.append(bits(*replicas))
    return ends


def calls(mesh: DeviceMesh) -> list[int]:
    """Return how many tensors each call of foreach steps, where one may step 400 bytes."""
    shapes = {(1, 90): SHARDED, (5, 8): WHOLE, (1, 91): SHARDED, (9,): WHOLE}
    params = [parameter(mesh, shape, placements) for shape, placements in shapes.items()]
    optimizer = optkit.create("adamax", params, implementation="foreach")
    give(params, 0)
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(foreach.LIMIT, "400")
        for module in (joint_steps, forloop):
            patch.setattr(module, "update", _counting(seen, module.update))
        optimizer.step()
    return seen


def _counting(seen: list[int], update: Callable[..., None]) -> Callable[..., None]:
    def counting(algorithm: Any, bucket: Any, *rest: Any) -> None:
        seen.append(len(bucket))
        update(algorithm, bucket, *rest)

    return counting


@contextmanager
def rounds() -> Iterator[list[Any]]:
    """Note each time that ranks exchange what they would run."""
    noted: list[Any] = []
    gather = dist.all_gather_object

    def noting(*arguments: Any, **options: Any) -> None:
        noted.append(arguments)
        gather(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_gather_object", noting)
        yield noted


def counted(mesh: DeviceMesh) -> tuple[dict[str, int], int]:
    """Return how often ranks communicate in steps, planned anew or not, and for a new request."""
    params = [parameter(mesh, (7, 5), SHARDED), parameter(mesh, (3, 3), WHOLE)]
    optimizer: Any = optkit.create("adamax", params, lr=0.1)
    if dist.get_rank() == 0:
        str(optimizer.explain())
    counts = {}

    def step(title: str) -> None:
        give(params, len(counts))
        with CommDebugMode() as communication:
            optimizer.step()
        counts[title] = communication.get_total_counts()

    group = optimizer.param_groups[0]
    step("the first")
    step("the second")
    group["lr"] = 0.05
    step("another rate")
    group["weight_decay"] = 0.1
    step("another body")
    optimizer.state[params[0]]["exp_avg"] = optimizer.state[params[0]]["exp_avg"].clone()
    step("another buffer")
    if dist.get_rank() == 0:  # noticed there, and planned anew on that rank alone
        optimizer.state[params[0]] = dict(optimizer.state[params[0]])
    step("another plan on one rank")
    group["foreach"] = True
    with rounds() as noted:
        optimizer.step()
    step("the same request")
    return counts, len(noted)


def failing_later(mesh: DeviceMesh) -> str:
    """Need another kernel on a rank that can't compile any more; return what is said."""
    p = parameter(mesh, (6, 4), SHARDED)
    optimizer: Any = optkit.create("sgd", [p], lr=0.1, weight_decay=0.0)
    give([p], 0)
    optimizer.step()
    before = bits(p)
    with no_compiler():
        optimizer.param_groups[0]["weight_decay"] = 0.1
        text = said(optimizer.step)
    assert (bits(p) == before) is bool(text)
    return text


def scaled(
    mesh: DeviceMesh, kinds: Sequence[Any], unscales: bool, sums: bool = False
) -> tuple[bool, float, int]:
    """Step under a scaler where one rank's part has an infinity in the second of three steps.

    Returns:
        Whether exactly that step was skipped, the scale at the end, and the bits of replicas.
    """
    params = [parameter(mesh, (4, 4), kind) for kind in kinds]
    optimizer: Any = optkit.create("adamax", params, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    scaler.scale(torch.ones(1))
    moved = []
    for step in range(3):
        give(params, step, scaler.get_scale())
        for p, kind in zip(params, kinds, strict=True):
            if sums and kind is SHARDED:
                p.grad = as_sums(p.grad.full_tensor(), mesh)
            if step == 1 and kind is SHARDED and dist.get_rank() == dist.get_world_size() - 1:
                p.grad._local_tensor[-1, -1] = float("inf")
        before = [bits(p) for p in params]
        if unscales:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        moved.append([bits(p) for p in params] != before)
    return moved == [True, False, True], scaler.get_scale(), bits(*params[1:])


def scalers(mesh: DeviceMesh) -> list[tuple[bool, float, int]]:
    """Return what `scaled` does, gradients unscaled before or not, placed or to be summed."""
    kinds = [SHARDED, WHOLE]
    found = [scaled(mesh, kinds, unscales) for unscales in (False, True)]
    return [*found, scaled(mesh, [SHARDED], False, sums=True)]


def deceived_scaler(mesh: DeviceMesh) -> list[str]:
    """Let the first parameter be a replica, by which the scaler doesn't ask the other ranks.

    A rank that skipped by itself would leave the other one waiting for its share of the sums.
    """
    params = [parameter(mesh, (4, 4), WHOLE), parameter(mesh, (4, 4), SHARDED)]
    optimizer: Any = optkit.create("adamax", params, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    scaler.scale(torch.ones(1))
    texts = []
    for step in range(2):
        give(params, step, scaler.get_scale())
        params[1].grad = as_sums(params[1].grad.full_tensor(), mesh)
        if step == 0 and dist.get_rank() == 0:
            params[1].grad._local_tensor[0, 0] = float("nan")
        before = [bits(p) for p in params]
        texts.append(said(scaler.step, optimizer))
        assert [bits(p) for p in params] == before
        scaler.update()
    return texts


def compiled(mesh: DeviceMesh) -> tuple[int, int, list[tuple[str, bool]], bool]:
    """Compile the steps of shards; return what was captured, what ran, and if it was right."""
    torch._dynamo.reset()
    optimizer, p, value, gradient = one(mesh)
    counter = CompileCounter()
    step = torch.compile(optimizer.step, backend=counter)
    for _ in range(5):
        p.grad = placed(gradient, mesh, SHARDED)
        step()
    plan = [(choice.name, choice.key.compiled) for choice in optimizer.plan]
    is_right = torch.allclose(p.full_tensor(), stepped(value, [gradient] * 5), rtol=1e-6)
    held = optimizer._parts.part_of(p).grad is not None
    torch._dynamo.reset()
    return counter.frame_count, counter.op_count, plan, is_right and not held


def compiled_whole(mesh: DeviceMesh) -> list[tuple[str, bool]]:
    """Compile the steps of an algorithm that no compiler is shown on shards; return the plan."""
    torch._dynamo.reset()
    p = parameter(mesh, (4, 6), SHARDED)
    optimizer: Any = optkit.create("lamb", [p])
    give([p], 0)
    torch.compile(optimizer.step, backend="eager")()
    torch._dynamo.reset()
    return [(choice.name, choice.key.compiled) for choice in optimizer.plan]


def distributed_too_late(mesh: DeviceMesh) -> list[str]:
    """Create optimizers before a model is distributed; return what their steps say."""
    texts = []
    for distribute in (_shard, _parallelize, _shard_last):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 2))
        early: Any = optkit.create("adamax", model.named_parameters())
        distribute(model, mesh)
        late: Any = optkit.create("adamax", model.named_parameters())
        model(torch.ones(3, 4)).sum().backward()
        before = [bits(p) for p in early.param_groups[0]["params"]]
        texts += [said(early.step), said(early.step)]
        assert [bits(p) for p in early.param_groups[0]["params"]] == before
        texts.append(said(late.step))
        del early, late
        gc.collect()
    # One in no module, of the shape of a DTensor that is the optimizer's own.
    alone = torch.nn.Parameter(torch.ones(2, 6))
    return [*texts, said(optkit.create("adamax", [alone, *model.parameters()]).step)]


def _shard(model: Any, mesh: DeviceMesh) -> None:
    fully_shard(model, mesh=mesh)


def _shard_last(model: Any, mesh: DeviceMesh) -> None:
    fully_shard(model[1], mesh=mesh)


def _parallelize(model: Any, mesh: DeviceMesh) -> None:
    parallelize_module(model, mesh, {"1": ColwiseParallel(output_layouts=Replicate())})
