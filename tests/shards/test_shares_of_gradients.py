"""Shares of DTensors' gradients are read where they lie, and what changes about them is noticed."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard

import optkit
from benchmarks.sharded.communication import simulated_ranks
from optkit_core.native import tensor_reader_loader
from optkit_core.shards.local_part import LocalPart

SHAPES = [(8, 6), (7, 5), (33,), (2,)]
"""Of whole tensors, of which the first of two ranks has half; the last one's part is a number."""

Share = Callable[[Tensor, int], Tensor]


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    with simulated_ranks(2):
        yield init_device_mesh("cpu", (2,))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list of the gradients that are shown to parts from Python."""
    found: list[Any] = []
    original = LocalPart.show
    monkeypatch.setattr(LocalPart, "show", lambda part, g: (found.append(g), original(part, g))[-1])
    return found


def whole(mesh: DeviceMesh, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> DTensor:
    generator = torch.Generator().manual_seed(seed)
    own = torch.randn(shape, generator=generator, dtype=dtype).chunk(2)[0].contiguous()
    return DTensor.from_local(
        own, mesh, [Shard(0)], run_check=False, shape=shape, stride=own.stride()
    )


def pair(mesh: DeviceMesh, dtype: torch.dtype) -> tuple[list[Any], list[Any]]:
    """Return parameters as DTensors, and as plain tensors of what this rank holds."""
    wholes = [whole(mesh, shape, seed, dtype) for seed, shape in enumerate(SHAPES)]
    return (
        [torch.nn.Parameter(w) for w in wholes],
        [torch.nn.Parameter(w.to_local().clone()) for w in wholes],
    )


def step(optimizers: Any, pairs: Any, number: int, share: Share) -> None:
    """Step both, with gradients made anew: some that are placed by an object of their own."""
    specs = [p.detach()._spec for p in pairs[0]]
    for index, (p, q) in enumerate(zip(*pairs, strict=True)):
        own = share(torch.sin(torch.arange(q.numel()).view(q.shape) + number).to(q.dtype), index)
        p.grad = DTensor(own, specs[index], requires_grad=False)
        q.grad = own.resolve_conj().resolve_neg().clone()
    for optimizer in optimizers:
        optimizer.step()


def differences(pairs: Any) -> list[int]:
    return [
        i
        for i, (p, q) in enumerate(zip(*pairs, strict=True))
        if not torch.equal(p.to_local(), q.detach())
    ]


def as_it_is(tensor: Tensor, index: int) -> Tensor:
    return tensor


def negated(tensor: Tensor, index: int) -> Tensor:
    """Return a tensor whose memory holds its negative, one by one of the parameters."""
    return torch._neg_view(-tensor)


def conjugate(tensor: Tensor, index: int) -> Tensor:
    return tensor.conj().resolve_conj().conj() if tensor.is_complex() else tensor


@pytest.mark.parametrize("implementation", ["fused", "foreach", "forloop"])
@pytest.mark.parametrize(
    ("share", "dtype"),
    [
        (as_it_is, torch.float32),
        (as_it_is, torch.bfloat16),
        (negated, torch.float32),
        (conjugate, torch.complex64),
    ],
)
def test_steps_are_those_of_the_parts(
    mesh: DeviceMesh, implementation: str, share: Share, dtype: torch.dtype
) -> None:
    pairs = pair(mesh, dtype)
    optimizers = [optkit.create("adamax", ps, implementation=implementation) for ps in pairs]
    for number in range(5):
        # In the last steps a kind of gradient comes that none of those before was of.
        step(optimizers, pairs, number, share if number > 2 else as_it_is)
        assert differences(pairs) == []


@pytest.mark.skipif(tensor_reader_loader.reader() is None, reason="nothing reads shares in place")
@pytest.mark.parametrize("is_first_other", [False, True])
def test_nothing_is_shown_once_placements_are_known(
    mesh: DeviceMesh, shown: list[Any], is_first_other: bool
) -> None:
    """Whether or not the first gradient was placed by an object of its own."""
    pairs = pair(mesh, torch.float32)
    optimizers = [optkit.create("adamax", ps, implementation="fused") for ps in pairs]
    specs = [p._spec for p in pairs[0]]
    for number in range(6):
        for p, q, spec in zip(*pairs, specs, strict=True):
            own = torch.full_like(q, number + 1.0)
            placed = copy.copy(spec) if is_first_other and number == 0 else spec
            p.grad, q.grad = DTensor(own, placed, requires_grad=False), own.clone()
        if number == 4:
            shown.clear()
        for optimizer in optimizers:
            optimizer.step()
    assert shown == []
    assert differences(pairs) == []


def test_a_replaced_part_is_noticed(mesh: DeviceMesh) -> None:
    pairs = pair(mesh, torch.float32)
    optimizers = [optkit.create("adamax", ps, implementation="fused") for ps in pairs]
    for number in range(3):
        step(optimizers, pairs, number, as_it_is)
    for p in pairs[0]:
        p._local_tensor = p._local_tensor.detach().clone()
    step(optimizers, pairs, 3, as_it_is)
    assert differences(pairs) == []


def test_a_missing_gradient_is_noticed(mesh: DeviceMesh) -> None:
    pairs = pair(mesh, torch.float32)
    optimizers = [optkit.create("adamax", ps, implementation="fused") for ps in pairs]
    for number in range(3):
        step(optimizers, pairs, number, as_it_is)
    for parameters in pairs:
        parameters[1].grad = None
    for optimizer in optimizers:
        optimizer.step()
    assert differences(pairs) == []


def test_no_share_is_held(mesh: DeviceMesh) -> None:
    pairs = pair(mesh, torch.float32)
    optimizers = [optkit.create("adamax", ps, implementation="fused") for ps in pairs]
    for number in range(4):
        step(optimizers, pairs, number, as_it_is)
    held = [weakref.ref(p.grad._local_tensor) for p in pairs[0]]
    optimizers[0].zero_grad(set_to_none=True)
    assert [gradient() for gradient in held] == [None] * len(held)
