"""Triton kernels in the interpreter: whole updates, through the public door."""

from __future__ import annotations

from typing import Any

import devices
import interpreted
import pytest
import torch
from algorithms import FLAT, TORCH, declared, skip_without_kernel, steady
from bodies import Branching, Mixed, Timed
from problems import DTYPES, INFOS, copies, gradients, parameters, run, set_gradients

import optkit
from optkit_core import Elementwise, ImplementationError
from optkit_core.implementations.fused import cuda, device_table, triton_kernel
from optkit_core.implementations.fused.triton_signature import BLOCK, CHUNK
from optkit_core.testing import assert_agree

pytestmark = interpreted.needed
interpreter = pytest.fixture(interpreted.standing_in, autouse=True)
launches = pytest.fixture(devices.noted_launches)
skipping = pytest.fixture(devices.skipping)

STEPS = 3
CASES = [
    pytest.param(name, case.kwargs, id=f"{name}-{case.desc.replace(' ', '_')}")
    for name in TORCH
    for case in INFOS[name].optim_inputs_func(device="cpu")
]
TOYS: dict[str, type[Elementwise]] = {
    "mixed": Mixed,
    "timed": Timed,
    "branching": Branching,
    **FLAT,
}


def agree(
    algorithm: Any, params: list[torch.nn.Parameter], steps: int = STEPS, **options: Any
) -> None:
    """Assert that the kernel does to parameters and states what the for-loop does."""
    other = copies(params)
    options = {**steady(algorithm, params[0].dtype), **options}
    fused = algorithm(params, implementation="fused", **options)
    forloop = algorithm(other, implementation="forloop", **options)
    assert_agree(run(fused, params, steps), run(forloop, other, steps))
    assert {choice.name for choice in fused.plan} == {"fused"}
    for p, q in zip(params, other, strict=True):
        assert fused.state[p].keys() == forloop.state[q].keys()
        for key, value in forloop.state[q].items():
            assert_agree([fused.state[p][key]], [value], dtype=p.dtype)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_all_of_torchs_inputs(name: str, options: Any) -> None:
    agree(optkit.get(name), parameters(torch.float32), **options)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", TOYS)
def test_dtypes_layouts_and_missing_gradients(name: str, dtype: torch.dtype) -> None:
    agree(TOYS[name], parameters(dtype))


def sized(sizes: list[int], dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(n, generator=generator).to(dtype)) for n in sizes]


def test_sizes_around_blocks_and_chunks() -> None:
    sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5]
    agree(Mixed, sized(sizes), 2)
    agree(Mixed, sized([0, 0]), 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_memory_that_is_not_aligned(dtype: torch.dtype) -> None:
    """Parameters that begin one element into their storage, and end before it does."""
    storage = torch.randn(CHUNK + 9).to(dtype)
    kept = storage.clone()
    params = [torch.nn.Parameter(storage[1 : CHUNK + 1])]
    other = [torch.nn.Parameter(storage[1 : CHUNK + 1].clone())]
    assert_agree(
        run(Timed(params, implementation="fused"), params, 2),
        run(Timed(other, implementation="forloop"), other, 2),
    )
    assert not torch.equal(storage[1 : CHUNK + 1], kept[1 : CHUNK + 1])
    assert torch.equal(storage[0], kept[0])
    assert torch.equal(storage[CHUNK + 1 :], kept[CHUNK + 1 :])


@pytest.mark.parametrize("name", TORCH)
def test_awkward_gradients(name: str) -> None:
    """Not-a-number, infinities, zeros of both signs, denormal and huge numbers."""
    values = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, -1e-40, 3e38, -3e38]
    params = [torch.nn.Parameter(torch.tensor(values * 8)) for _ in range(2)]
    optimizers = [
        optkit.create(name, [p], **declared(name, lr=0.1, eps=1e-8), implementation=implementation)
        for p, implementation in zip(params, ("fused", "forloop"), strict=True)
    ]
    for shift in range(3):
        for p, optimizer in zip(params, optimizers, strict=True):
            p.grad = torch.tensor(values * 8).roll(shift)
            optimizer.step()
    assert_agree(params[:1], params[1:])
    assert torch.isnan(params[0]).any() and torch.isfinite(params[0]).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", TOYS)
def test_tensor_learning_rate_is_read_by_the_kernel(name: str, dtype: torch.dtype) -> None:
    lr = torch.tensor(0.05, dtype=dtype)
    agree(TOYS[name], parameters(dtype), lr=lr)
    assert lr == torch.tensor(0.05, dtype=dtype)


@pytest.mark.parametrize("tensor_lr", [False, True])
@pytest.mark.parametrize("name", [*FLAT, "timed"])
def test_capturable_reads_the_count_of_steps_from_memory(name: str, tensor_lr: bool) -> None:
    skip_without_kernel(name, capturable=True)
    lr = torch.tensor(0.05, dtype=torch.float64) if tensor_lr else 0.05
    params = parameters(torch.float64)
    other = copies(params)
    fused = TOYS[name](params, lr=lr, implementation="fused", capturable=True)
    forloop = TOYS[name](other, lr=lr, implementation="forloop")
    assert_agree(run(fused, params, STEPS), run(forloop, other, STEPS))
    counts = [
        [o.state[p].get("step") for p in own] for o, own in ((fused, params), (forloop, other))
    ]
    assert counts[0] == counts[1]


def test_a_body_that_branches_on_a_count_from_memory_is_refused() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ImplementationError, match="branches on the values of a tensor"):
        Branching([p], implementation="fused", capturable=True)


def test_counts_that_differ_are_one_launch(launches: Any) -> None:
    """Parameters that missed gradients take other numbers from a table."""
    params = sized([5, 3000, 7])
    optimizer = Timed(params, implementation="fused")
    for present in ([1, 1, 1], [1, 0, 1], [1, 1, 1]):
        for p, has in zip(params, present, strict=True):
            p.grad = torch.ones_like(p) if has else None
        optimizer.step()
    ends = [5, 3005, 3012]
    assert launches == [[ends, []], [[5, 12], []], [ends, [0, 1, 2]]]


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("name", FLAT)
@pytest.mark.usefixtures("skipping")
def test_scaled_gradients_and_skipped_steps(name: str, capturable: bool) -> None:
    skip_without_kernel(name, capturable)
    params, other = parameters(torch.float32), parameters(torch.float32)
    fused = optkit.create(name, params, implementation="fused", capturable=capturable)
    forloop = optkit.create(name, other, implementation="forloop")
    fused.grad_scale = torch.tensor(64.0)
    for step, grads in enumerate(gradients(params, 5)):
        set_gradients(other, grads)
        set_gradients(params, [None if g is None else g * 64 for g in grads])
        fused.found_inf = torch.tensor(float(step == 2))
        before = [p.detach().clone() for p in params]
        fused.step()
        if step == 2:
            assert all(map(torch.equal, params, before))
        else:
            forloop.step()
    assert_agree(params, other)
    for p, q in zip(params, other, strict=True):
        for key, value in forloop.state[q].items():
            assert_agree([fused.state[p][key]], [value])


def test_neither_a_schedule_nor_the_count_of_steps_makes_another_kernel() -> None:
    params = sized([5])
    optimizer = optkit.create("adamax", params, lr=0.1, implementation="fused")
    for step in range(5):
        optimizer.param_groups[0]["lr"] = float(step)
        params[0].grad = torch.ones(5)
        optimizer.step()
        if step == 0:
            made = triton_kernel.kernel_function.cache_info().misses
    assert triton_kernel.kernel_function.cache_info().misses == made


def test_tables_are_copied_only_when_something_has_moved() -> None:
    params = sized([5, CHUNK + 1])
    optimizer = Timed(params, implementation="fused")
    for p in params:
        p.grad = torch.ones_like(p)
    copies_made = []
    for step in range(6):
        optimizer.step()
        if step == 3:
            params[1].grad = torch.ones_like(params[1])
        copies_made.append(device_table._words.cache_info().misses)
    assert [n - copies_made[0] for n in copies_made] == [0, 0, 0, 0, 1, 1]


def test_a_tensor_on_the_host_is_a_number_of_the_host() -> None:
    lr = torch.tensor(0.1)
    device = torch.device("meta")
    assert cuda.on(device, lr) == lr.item()
    assert cuda.on(device, 1) == 1.0
    assert cuda.on(lr.device, lr) is lr
