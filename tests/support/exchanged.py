"""What ranks do in tests with shards of matrices, beside one process that has whole matrices."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from unittest import mock

import torch
import torch.distributed as dist
from sharded import PLACEMENTS, as_sums, placed
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import optkit
from optkit_core import Buffer, Matrixwise, at_least, hyperparameter

MATRICES = [(8, 6), (7, 5), (1, 9), (6, 8), (7, 5), (0, 4), (3, 2), (9, 1)]
"""Even, uneven, fewer rows or columns than ranks, two of one shape, one without an element."""

OTHERS = [(5,), (3, 2, 4), (2, 5, 1, 2)]
"""What SOAP takes besides."""

STEPS = 4
MISSING = (2, 1)
"""A step, and the parameter that has no gradient in it."""

ONE_BY_ONE = {"OPTKIT_FOREACH_BYTES": "1"}
"""Batches of one matrix, which are the same ones whoever owns what."""


class Whitened(Matrixwise):
    """What a third party may write: with a number, and with a buffer that the body begins."""

    lr: float = hyperparameter(default=0.1, range=at_least(0.0))

    first = Buffer(init=None)
    product = Buffer(shape=lambda p: (p.shape[0], p.shape[0]), dtype=torch.float64)
    count = Buffer(kind="scalar")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Descend along gradients that are whitened by the mean of their products."""
        if s.is_new:
            s.first.copy_(g)
        s.product.lerp_(g @ g.mT, 0.5)
        s.count = s.count + float(t)
        scale = s.product + torch.eye(p.shape[-2], dtype=p.dtype)
        p.sub_(torch.linalg.solve(scale, g + s.first), alpha=h.lr / (1 + s.count))


Case = tuple[str, str, Mapping[str, Any], Sequence[tuple[int, ...]]]
"""A name, an implementation, options and shapes."""

CASES: list[Case] = [
    ("muon", "forloop", {"weight_decay": 0.1}, MATRICES),
    ("muon", "foreach", {"maximize": True, "nesterov": False}, MATRICES),
    ("soap", "foreach", {"weight_decay": 0.1, "precondition_frequency": 2}, MATRICES),
    ("soap", "forloop", {"precondition_1d": True, "max_precond_dim": 7}, [*MATRICES, *OTHERS]),
    ("whitened", "forloop", {}, MATRICES),
]
"""Stepped in every placement."""

FURTHER: list[Case] = [
    ("muon", "foreach", {"adjust_lr_fn": "match_rms_adamw", "momentum": 0.5}, MATRICES),
    (
        "muon",
        "forloop",
        {"ns_steps": 3, "eps": 1e-3, "ns_coefficients": (2.0, -1.5, 0.5)},
        MATRICES,
    ),
    ("soap", "foreach", {"shampoo_beta": 0.5, "correct_bias": False, "eps": 1e-6}, MATRICES),
    ("soap", "forloop", {"maximize": True, "betas": (0.8, 0.9)}, MATRICES),
    ("whitened", "foreach", {"lr": 0.5}, MATRICES),
]
"""Stepped in the first placement alone."""


def create(name: str, params: Any, **options: Any) -> Any:
    """Return an optimizer of an algorithm that ships, or of the one above."""
    return (
        Whitened(params, **options)
        if name == "whitened"
        else optkit.create(name, params, **options)
    )


def values(shapes: Sequence[tuple[int, ...]], seed: int) -> list[Tensor]:
    """Return a value for each parameter."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def fitting(placements: Sequence[Placement], tensor: Tensor) -> list[Placement]:
    """Return placements that a tensor of fewer dims can have, too."""
    return [Shard(p.dim % tensor.dim()) if isinstance(p, Shard) else p for p in placements]


def differences(mesh: DeviceMesh) -> tuple[list[str], list[bytes]]:
    """Return where steps differ from those of whole tensors in any bit, and what they end with."""
    rank, found, ends = dist.get_rank(), list[str](), list[bytes]()
    for number, (how, placements) in enumerate(PLACEMENTS[dist.get_world_size()].items()):
        for case in CASES if number else [*CASES, *FURTHER]:
            title = f"{case[0]} by {case[1]}, {case[2]}, {how}, rank {rank}"
            found += [f"{title}: {d}" for d in _compared(case, mesh, placements)]
        ends += _batched(mesh, placements)
    return found, ends


def _compared(case: Case, mesh: DeviceMesh, placements: Sequence[Placement]) -> Iterator[str]:
    name, implementation, options, shapes = case
    options = {**options, "implementation": implementation}
    whole = [nn.Parameter(value) for value in values(shapes, 0)]
    parts = [nn.Parameter(placed(p.data, mesh, fitting(placements, p))) for p in whole]
    with mock.patch.dict("os.environ", ONE_BY_ONE):
        reference, optimizer = (create(name, params, **options) for params in (whole, parts))
        for step in range(STEPS):
            give_gradients(step, whole, parts)
            reference.step()
            with CommDebugMode() as communication:
                optimizer.step()
            if communication.get_total_counts() != 2:
                yield f"step {step} communicates {communication.get_total_counts()} times"
    if {choice.name for choice in optimizer.plan} != {implementation}:
        yield "another implementation ran"
    for index, (p, q) in enumerate(zip(whole, parts, strict=True)):
        pairs = {"parameter": (p.data, q.data), **entries(reference, optimizer, p, q)}
        for what, (wanted, got) in pairs.items():
            if isinstance(got, DTensor) != (wanted.dim() > 0):
                yield f"{what} {index} is {type(got).__name__}"
            if not torch.equal(wanted, got.full_tensor() if isinstance(got, DTensor) else got):
                yield f"{what} {index} differs"


def give_gradients(step: int, whole: Sequence[Tensor], parts: Sequence[Any]) -> None:
    """Give whole parameters and their parts the gradients of a step."""
    shapes = [tuple(p.shape) for p in whole]
    for index, gradient in enumerate(values(shapes, step + 1)):
        is_missing = (step, index) == MISSING
        p, q = whole[index], parts[index]
        p.grad = None if is_missing else gradient
        q.grad = None if is_missing else placed(gradient, q.device_mesh, q.placements)


def entries(reference: Any, optimizer: Any, p: Tensor, q: Tensor) -> dict[str, tuple[Any, Any]]:
    """Return the entries of both states of a parameter, by their names."""
    old, new = reference.state.get(p, {}), optimizer.state.get(q, {})
    assert old.keys() == new.keys()
    return {name: (old[name], new[name]) for name in old}


def _batched(mesh: DeviceMesh, placements: Sequence[Placement]) -> Iterator[bytes]:
    """Step in batches, which are as large as an owner has matrices; yield the ends' bytes."""
    whole = [nn.Parameter(value) for value in values(MATRICES * 2, 0)]
    parts = [nn.Parameter(placed(p.data, mesh, placements)) for p in whole]
    reference, optimizer = (optkit.create("soap", params) for params in (whole, parts))
    for step in range(STEPS):
        give_gradients(step, whole, parts)
        reference.step()
        optimizer.step()
    for p, q in zip(whole, parts, strict=True):
        end = q.data.full_tensor()
        torch.testing.assert_close(end, p.data, rtol=1e-9, atol=1e-9)
        yield end.numpy().tobytes()


def collectives(mesh: DeviceMesh) -> list[int]:
    """Return how often ranks communicate in a step of one matrix, and of eight."""
    counts = []
    for number in (1, 8):
        params = [
            nn.Parameter(placed(value, mesh, [Shard(0)] * mesh.ndim))
            for value in values(MATRICES[:1] * number, 0)
        ]
        optimizer = optkit.create("muon", params)
        for p in params:
            p.grad = p.detach().clone()
        with CommDebugMode() as communication:
            optimizer.step()
        counts.append(communication.get_total_counts())
    return counts


def gradients_that_lie_otherwise(mesh: DeviceMesh) -> bool:
    """Step along partial sums, and along a gradient of columns; return whether that was right."""
    value, *gradients = values([(7, 5)] * 3, 0)
    whole, part = nn.Parameter(value), nn.Parameter(placed(value, mesh, [Shard(0)] * mesh.ndim))
    reference, optimizer = (optkit.create("soap", [p]) for p in (whole, part))
    lying = [as_sums(gradients[0], mesh), placed(gradients[1], mesh, [Shard(1)] * mesh.ndim)]
    for plain, distributed in zip(gradients, lying, strict=True):
        whole.grad, part.grad = plain, distributed
        reference.step()
        optimizer.step()
    return torch.equal(part.full_tensor(), whole.data)


def shares(mesh: DeviceMesh) -> dict[str, float]:
    """Return what fraction of each of SOAP's buffers this rank has."""
    p = nn.Parameter(placed(torch.zeros(12, 8), mesh, [Shard(1)] * mesh.ndim))
    optimizer = optkit.create("soap", [p], eager_state=True)
    state = optimizer.state[p].items()
    return {name: t.to_local().numel() / t.numel() for name, t in state if isinstance(t, DTensor)}


def nothing_stays(mesh: DeviceMesh) -> list[bool]:
    """Return for each whole tensor that an owner has made whether it has memory beyond steps."""
    whole, made = values([(9, 7)] * 2, 0), list[Any]()
    allocate = Tensor.new_empty

    def noted(*arguments: Any, **keywords: Any) -> Tensor:
        tensor = allocate(*arguments, **keywords)
        made.append(weakref.ref(tensor))
        return tensor

    kept = []
    for implementation in ("forloop", "foreach"):
        params = [nn.Parameter(placed(value, mesh, [Shard(0)] * mesh.ndim)) for value in whole]
        optimizer = optkit.create("muon", params, implementation=implementation, eager_state=True)
        kept.append(optimizer)
        for p in params:
            p.grad = p.detach().clone()
        with mock.patch.object(Tensor, "new_empty", noted):
            for _ in range(2):
                optimizer.step()
    return [reference().untyped_storage().nbytes() == 0 for reference in made]


def what_is_replaced_is_seen(mesh: DeviceMesh) -> bool:
    """Put other tensors in the place of those between which parts have travelled in two steps."""
    value, *gradients = values([(7, 5)] * 5, 0)
    ends = []
    for is_placed in (False, True):

        def made(tensor: Tensor, is_placed: bool = is_placed) -> Any:
            return placed(tensor, mesh, [Shard(0)]) if is_placed else tensor.clone()

        p: Any = nn.Parameter(made(value))
        optimizer = optkit.create("muon", [p], lr=0.1, implementation="forloop")
        for step, gradient in enumerate(gradients):
            p.grad = made(gradient)
            optimizer.step()
            if step == 1:
                optimizer.state[p]["momentum_buffer"] = made(gradient)
            elif step == 2 and is_placed:
                p._local_tensor = p._local_tensor.clone()
        ends.append(p.full_tensor() if is_placed else p.data)
    return torch.equal(*ends)


def compiled(mesh: DeviceMesh) -> bool:
    """Step by a compiled call; return whether that does what a step does."""
    value, *gradients = values([(7, 5)] * 3, 0)
    ends = []
    for compiles in (False, True):
        p = nn.Parameter(placed(value, mesh, [Shard(0)] * mesh.ndim))
        optimizer = optkit.create("muon", [p])
        step = torch.compile(optimizer.step, backend="eager") if compiles else optimizer.step
        for gradient in gradients:
            p.grad = placed(gradient, mesh, [Shard(0)] * mesh.ndim)
            step()
        ends.append(p.full_tensor())
    torch.compiler.reset()  # it keeps what it has seen, and so the process group
    return torch.equal(*ends) and not torch.equal(ends[0], value)


def explained(mesh: DeviceMesh) -> Any:
    """Return the explanation of a step of three matrices and a plain one."""
    whole = values([(8, 6), (4, 6), (4, 6)], 0)
    params: list[Any] = [nn.Parameter(placed(v, mesh, [Shard(0)] * mesh.ndim)) for v in whole]
    return optkit.create("muon", [*params, nn.Parameter(whole[0])]).explain()


def plain_ones_step_along(mesh: DeviceMesh) -> bool:
    """Step a plain matrix beside one that another rank owns; return whether both are right."""
    value, *gradients = values([(6, 4)] * 3, 0)
    params: list[Any] = [placed(value, mesh, [Shard(0)] * mesh.ndim), value.clone(), value.clone()]
    part, plain, alone = map(nn.Parameter, params)
    optimizer, reference = optkit.create("soap", [part, plain]), optkit.create("soap", [alone])
    for gradient in gradients:
        part.grad = placed(gradient, mesh, [Shard(0)] * mesh.ndim)
        plain.grad, alone.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        reference.step()
    return torch.equal(plain, alone) and torch.equal(part.full_tensor(), alone)


def some_of_the_ranks(mesh: DeviceMesh) -> bool:
    """Step what half of the ranks hold, in one mesh dim and in two; return whether it is right."""
    wide = init_device_mesh("cpu", (2, 2, 1), mesh_dim_names=("outer", "inner", "one"))
    value, *gradients = values([(7, 5)] * 3, 0)
    reached = []
    for names in ("outer", ("outer", "one"), ("inner", "one")):
        own = wide[names]
        part, plain = nn.Parameter(placed(value, own, [Shard(0)] * own.ndim)), nn.Parameter(value)
        optimizer, reference = optkit.create("muon", [part]), optkit.create("muon", [plain])
        for gradient in gradients:
            part.grad, plain.grad = placed(gradient, own, [Shard(0)] * own.ndim), gradient
            optimizer.step()
            reference.step()
        reached.append(torch.equal(part.full_tensor(), plain))
    return all(reached)


class Block(nn.Module):
    """A layer of a transformer, small and uneven."""

    def __init__(self, width: int) -> None:
        """Make its parts."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, 3 * width, bias=False)
        self.up = nn.Linear(width, 2 * width + 1)
        self.down = nn.Linear(2 * width + 1, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend, then think."""
        q, k, v = self.queries(self.norm(x)).chunk(3, -1)
        x = x + nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.down(torch.tanh(self.up(x)))


def transformer() -> nn.Sequential:
    """Return two layers between an embedding and a head."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(11, 5), Block(5), Block(5), nn.Linear(5, 11)).double()


def groups(model: nn.Module) -> list[dict[str, Any]]:
    """Return the matrices of the layers for Muon, and everything else for AdamW."""
    named = list(model.named_parameters())
    is_inner = {name: p.dim() == 2 and name[0] in "12" for name, p in named}
    return [
        {"params": [(n, p) for n, p in named if is_inner[n]], "algorithm": "muon", "lr": 0.02},
        {"params": [(n, p) for n, p in named if not is_inner[n]], "algorithm": "adamw"},
    ]


def trained(model: nn.Module, optimizer: Any, steps: int = 3) -> None:
    """Train on the same words on all ranks."""
    words = torch.arange(24).reshape(4, 6) % 11
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model(words[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten()).backward()
        optimizer.step()


def under_fsdp(mesh: DeviceMesh) -> tuple[float, int, bool]:
    """Train a transformer under FSDP2, by Muon and AdamW.

    Returns:
        How far it ends from one that is trained alone, how often the optimizer communicates in a
        step, and whether a fresh optimizer that has loaded the state goes on in the same bits.
    """
    alone, model = transformer(), transformer()
    for block in (*model[1:3], model):
        fully_shard(block, mesh=mesh)
    optimizers = [optkit.create("adamw", groups(net)) for net in (alone, model)]
    for net, optimizer in zip((alone, model), optimizers, strict=True):
        trained(net, optimizer)
    far = _distance(alone, model)
    with CommDebugMode() as communication:
        optimizers[1].step()
    return far, communication.get_total_counts(), _resumes(model, optimizers[1])


def _distance(alone: nn.Module, model: nn.Module) -> float:
    pairs = zip(alone.parameters(), model.parameters(), strict=True)
    return max(float((p.data - cast(Any, q.data).full_tensor()).abs().max()) for p, q in pairs)


def _resumes(model: nn.Module, optimizer: Any) -> bool:
    """Return whether a fresh optimizer goes on from the state that a checkpoint has."""
    saved = copy.deepcopy((get_model_state_dict(model), get_optimizer_state_dict(model, optimizer)))
    trained(model, optimizer, steps=2)
    ends = [cast(Any, p).full_tensor().clone() for p in model.parameters()]
    weights, state = saved
    set_model_state_dict(model, weights)
    fresh = optkit.create("adamw", groups(model))
    set_optimizer_state_dict(model, fresh, state)
    trained(model, fresh, steps=2)
    pairs = zip(ends, model.parameters(), strict=True)
    return all(torch.equal(end, cast(Any, p).full_tensor()) for end, p in pairs)


def in_two_dimensions(mesh: DeviceMesh) -> list[str]:
    """Step a model that tensor parallelism has sharded, and FSDP2 again; return what differs."""
    torch.manual_seed(0)
    named = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 7)).double()
    whole = copy.deepcopy(model)
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    fully_shard(parallelize_module(model, named["tensor"], plan), mesh=named["data"])
    matrices = [[p for p in net.parameters() if p.dim() == 2] for net in (whole, model)]
    placements = [str(cast(Any, p).placements) for p in matrices[1]]
    optimizers = [optkit.create("soap", params, implementation="forloop") for params in matrices]
    for step in range(STEPS):
        for p, q in zip(*matrices, strict=True):
            p.grad = values([tuple(p.shape)], step)[0]
            q.grad = _like(p.grad, cast(Any, q))
        for optimizer in optimizers:
            optimizer.step()
    differing = [
        how
        for p, q, how in zip(*matrices, placements, strict=True)
        if not torch.equal(p, cast(Any, q).full_tensor())
    ]
    return [*differing, *(() if any("_Strided" in how for how in placements) else ["no strides"])]


def _like(whole: Tensor, part: Any) -> Any:
    """Return a tensor distributed as another one is, which FSDP2 may have sharded twice."""
    replicas = DTensor.from_local(
        whole, part.device_mesh, [Replicate()] * part.device_mesh.ndim, run_check=False
    )
    return replicas.redistribute(placements=part.placements)
