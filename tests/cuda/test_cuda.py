"""Fused kernels for CUDA, on a GPU or on what stands in for one: their results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import devices
import pytest
import torch
from algorithms import FLAT, TORCH, declared, skip_without_kernel
from awkward_values import is_close, values
from bodies import CALLS, Mixed, Timed, calling
from devices import both, needs_gpu, on, sized
from kinds import Columns, Product
from problems import DTYPES, parameters, set_gradients

import optkit
from optkit_core.implementations.fused.triton_signature import BLOCK, CHUNK
from optkit_core.testing import assert_agree, check

device = pytest.fixture(params=devices.PLACES)(devices.standing)

ALGORITHMS = {**FLAT, "mixed": Mixed, "timed": Timed}
HALVES = [torch.bfloat16, torch.float16]
GIB = 2**30


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_agrees_with_the_forloop(device: torch.device, name: str, dtype: torch.dtype) -> None:
    """Of every layout, sizes of zero and one included, with gradients that are missing."""
    assert_agree(*both(ALGORITHMS[name], parameters(dtype), device))


@needs_gpu
@pytest.mark.parametrize("algorithm", [*TORCH, Product, Columns], ids=str)
def test_the_conformance_suite_holds(algorithm: Any) -> None:
    """Numbers of a parameter lie on the CPU, whatever its own device is."""
    report = check(algorithm, device="cuda")
    assert "forloop" in report.implementations and "foreach" in report.implementations
    assert ("fused" in report.implementations) == (algorithm in TORCH)


@pytest.mark.parametrize("name", TORCH)
def test_agrees_with_torch(device: torch.device, name: str) -> None:
    mine, other = (on(device, parameters(torch.float32)) for _ in range(2))
    options = declared(name, weight_decay=0.1)
    fused = optkit.create(name, mine, implementation="fused", **options)
    torchs = TORCH[name](other, foreach=True, **options)
    assert_agree(devices.run(fused, mine), devices.run(torchs, other))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_every_operation(device: torch.device, name: str, dtype: torch.dtype) -> None:
    inputs = tuple(value.to(device) for value in values(dtype))
    p = torch.nn.Parameter(inputs[0].clone())
    p.grad = inputs[1].clone()
    optimizer = calling(CALLS[name])([p], implementation="fused")
    optimizer.state[p].update(step=torch.tensor(0.0), other=inputs[2].clone())
    optimizer.step()
    wanted = CALLS[name](*inputs)
    rounded_once = CALLS[name](*(value.double() for value in inputs)).to(dtype)
    off = ~(is_close(p.detach(), wanted) | is_close(p.detach(), rounded_once))
    assert not off.any(), [t[off] for t in (*inputs, p, wanted)]


@pytest.mark.parametrize("device", devices.ALL_PLACES, indirect=True)
@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_learning_rate_in_the_devices_memory(
    device: torch.device, name: str, capturable: bool
) -> None:
    skip_without_kernel(name, capturable)
    lr = torch.tensor(0.05, device=device)
    params = parameters(torch.float32)
    assert_agree(*both(ALGORITHMS[name], params, device, lr=lr, capturable=capturable))
    assert lr == torch.tensor(0.05)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_sizes_around_blocks_and_chunks(device: torch.device, dtype: torch.dtype) -> None:
    sizes = [0, 1, BLOCK - 1, BLOCK + 1, CHUNK - 1, CHUNK, 2 * CHUNK + 7]
    assert_agree(*both(Mixed, sized(device, sizes, dtype), device))


def test_parameters_without_any_element(device: torch.device) -> None:
    params = sized(device, [0, 0])
    found, wanted = both(Timed, params, device)
    assert_agree(found, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_memory_that_is_not_aligned(device: torch.device, dtype: torch.dtype) -> None:
    """A parameter that begins one element into its storage, and ends before it does."""
    (storage,) = sized(device, [CHUNK + 9], dtype)
    kept = storage.detach().clone()
    p = torch.nn.Parameter(storage.data[1 : CHUNK + 4])
    wanted, _ = both(Mixed, [kept[1 : CHUNK + 4]], device)
    assert_agree(devices.run(Mixed([p], implementation="fused"), [p]), wanted[:1])
    assert torch.equal(storage[CHUNK + 4 :], kept[CHUNK + 4 :])
    assert torch.equal(storage[0], kept[0])


LAYOUTS = {
    "contiguous": lambda x: x.clone(),
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(0, 3).clone().transpose(0, 3),
    "gaps": lambda x: torch.cat([x, x], 3)[..., ::2].copy_(x),
    "expanded": lambda x: x[:1, :1, :1, :1].expand(x.shape),
}


@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("of_parameter", [name for name in LAYOUTS if name != "expanded"])
def test_layouts_of_parameter_and_gradient(
    device: torch.device, of_parameter: str, of_gradient: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    start, *grads = (torch.randn(4, 3, 5, 8, generator=generator).to(device) for _ in range(4))
    ends = []
    for implementation in ("fused", "forloop"):
        p = torch.nn.Parameter(LAYOUTS[of_parameter](start))
        strides = p.stride()
        optimizer = optkit.create("adamax", [p], lr=0.1, implementation=implementation)
        for g in grads:
            p.grad = LAYOUTS[of_gradient](g)
            optimizer.step()
        assert p.stride() == strides
        ends.append(p.detach())
    assert_agree(ends[:1], ends[1:])


@pytest.mark.parametrize("name", TORCH)
def test_a_gradient_of_zero_in_float16_is_no_nan(device: torch.device, name: str) -> None:
    """``eps`` vanishes in float16, and the for-loop divides zero by zero."""
    (p,) = sized(device, [CHUNK + 5], torch.float16)
    before = p.detach().clone()
    p.grad = torch.zeros_like(p)
    optkit.create(name, [p], implementation="fused", **declared(name, eps=1e-8, lambd=0.0)).step()
    assert torch.equal(p, before)


def test_nothing_is_stepped_without_a_gradient(device: torch.device) -> None:
    params = sized(device, [5, CHUNK + 1])
    before = [p.detach().clone() for p in params]
    optimizer = optkit.create("adamax", params, lr=0.5, implementation="fused")
    optimizer.step()
    assert all(map(torch.equal, params, before))
    params[1].grad = torch.ones_like(params[1])
    optimizer.step()
    assert torch.equal(params[0], before[0])
    assert_agree([params[1]], [before[1] - 0.5])


@pytest.fixture
def no_synchronization(device: torch.device) -> Iterator[Any]:
    """Return what makes waiting for a GPU an error from then on; nothing else waits."""
    yield torch.cuda.set_sync_debug_mode if device.type == "cuda" else lambda mode: None
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("device", devices.ALL_PLACES, indirect=True)
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("options", [{}, {"capturable": True}, {"lr": "tensor"}], ids=str)
def test_a_step_waits_for_nothing(
    device: torch.device,
    options: dict[str, Any],
    scaled: bool,
    grouped: bool,
    no_synchronization: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices.skipping(monkeypatch)
    params = on(device, parameters(torch.float32))
    before = params[3].detach().clone()
    given = {**options, **({"lr": torch.tensor(0.1, device=device)} if "lr" in options else {})}
    groups: Any = [{"params": [p], "eps": 0.1 + i} for i, p in enumerate(params)]
    optimizer: Any = optkit.create(
        "adamax", groups if grouped else params, implementation="fused", **given
    )
    if scaled:
        optimizer.grad_scale = torch.tensor(8.0, device=device)
        optimizer.found_inf = torch.tensor(0.0, device=device)
    grads = [[torch.ones_like(p) for p in params] for _ in range(3)]
    no_synchronization("error")
    for some in grads:
        set_gradients(params, some)
        optimizer.step()
    no_synchronization("default")
    assert (params[3] < before).all()


@needs_gpu
@pytest.mark.parametrize("grouped", [False, True])
def test_a_gpu_runs_one_kernel_for_400_tensors(grouped: bool) -> None:
    """Beside copies of numbers, if groups have different ones."""
    params = [torch.nn.Parameter(torch.randn(64, device="cuda")) for _ in range(400)]
    groups: Any = [{"params": [p], "lr": 0.001 * (i + 1)} for i, p in enumerate(params)]
    optimizer = optkit.create("adamax", groups if grouped else params, implementation="fused")
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    with torch.profiler.profile() as profile:
        optimizer.step()
        torch.cuda.synchronize()
    ran = [
        event.name
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
        and not getattr(event, "is_user_annotation", False)
    ]
    assert [name for name in ran if not name.startswith(("Memcpy", "Memset"))] == ["fused"]
    assert len(ran) <= 2


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_that_is_not_the_current_one() -> None:
    params, other = (on(torch.device("cuda", i), parameters(torch.float32)) for i in (1, 0))
    assert torch.cuda.current_device() == 0
    found = devices.run(optkit.create("adamax", params, implementation="fused"), params)
    wanted = devices.run(optkit.create("adamax", other, implementation="fused"), other)
    assert_agree(found, wanted)


@needs_gpu
def test_more_elements_than_32_bits_can_count() -> None:
    size = 2**31 + CHUNK + 5
    if torch.cuda.mem_get_info()[0] < 10 * size + 2 * GIB:
        pytest.skip("needs 24 GiB of memory")
    p = torch.nn.Parameter(torch.ones(size, dtype=torch.bfloat16, device="cuda"))
    p.grad = torch.ones_like(p)
    optkit.create("adamax", [p], lr=0.5, implementation="fused").step()
    for part in (p[:10], p[2**31 - 10 : 2**31 + 10], p[-10:]):
        assert (part == 0.5).all()
    assert (p == 0.5).all()
