"""Fused kernels on an NVIDIA GPU: what the interpreter can't show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from bodies import CALLS, Mixed, Timed, calling
from kinds import Columns, Product
from problems import DTYPES, TORCH, gradients, parameters, set_gradients
from test_triton_operations import is_close, values

import optkit
from optkit_core.implementations.fused import device_table
from optkit_core.implementations.fused.triton_source import CHUNK
from optkit_core.testing import assert_agree, check

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or bool(torch.version.hip), reason="needs an NVIDIA GPU"
)
ALGORITHMS = {"adamax": optkit.get("adamax"), "adagrad": optkit.get("adagrad")}
ALGORITHMS |= {"mixed": Mixed, "timed": Timed}
GIB = 2**30


def on_gpu(params: list[torch.nn.Parameter], device: str = "cuda") -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(p.detach().to(device)) for p in params]


def run(optimizer: Any, params: list[torch.nn.Parameter], steps: int = 12) -> list[torch.Tensor]:
    """Take steps with the shared gradients, some of them missing."""
    for grads in gradients([p.cpu() for p in params], steps):
        set_gradients(params, [None if g is None else g.to(params[0].device) for g in grads])
        optimizer.step()
    return [p.detach().cpu() for p in params]


def both(name: str, params: list[torch.nn.Parameter], **options: Any) -> tuple[Any, Any]:
    """Return where the kernel ends, and where the for-loop on the same device ends."""
    found = []
    for implementation in ("fused", "forloop"):
        own = on_gpu(params)
        optimizer = ALGORITHMS[name](own, implementation=implementation, **options)
        found.append(run(optimizer, own))
        assert {choice.name for choice in optimizer.plan} == {implementation}
    return found[0], found[1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_agrees_with_the_forloop(name: str, dtype: torch.dtype) -> None:
    assert_agree(*both(name, parameters(dtype)))


@pytest.mark.parametrize("algorithm", [*TORCH, Product, Columns], ids=str)
def test_the_conformance_suite_holds(algorithm: Any) -> None:
    """Numbers of a parameter lie on the CPU, whatever its own device is."""
    report = check(algorithm, device="cuda")
    assert "forloop" in report.implementations and "foreach" in report.implementations
    assert ("fused" in report.implementations) == (algorithm in TORCH)


@pytest.mark.parametrize("name", TORCH)
def test_agrees_with_torch(name: str) -> None:
    mine, other = on_gpu(parameters(torch.float32)), on_gpu(parameters(torch.float32))
    ours = run(optkit.create(name, mine, implementation="fused", weight_decay=0.1), mine)
    theirs = run(TORCH[name](other, foreach=True, weight_decay=0.1), other)
    assert_agree(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_every_operation(name: str, dtype: torch.dtype) -> None:
    inputs = tuple(value.cuda() for value in values(dtype))
    p = torch.nn.Parameter(inputs[0].clone())
    p.grad = inputs[1].clone()
    optimizer = calling(CALLS[name])([p], implementation="fused")
    optimizer.state[p].update(step=torch.tensor(0.0), other=inputs[2].clone())
    optimizer.step()
    wanted = CALLS[name](*inputs)
    rounded_once = CALLS[name](*(value.double() for value in inputs)).to(dtype)
    off = ~(is_close(p.detach(), wanted) | is_close(p.detach(), rounded_once))
    assert not off.any(), [t[off] for t in (*inputs, p, wanted)]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_tensor_learning_rate_and_capturable(name: str) -> None:
    lr = torch.tensor(0.05, device="cuda")
    assert_agree(*both(name, parameters(torch.float32), lr=lr))
    assert_agree(*both(name, parameters(torch.float32), lr=lr, capturable=True))


def test_sizes_and_memory_that_is_not_aligned() -> None:
    storage = torch.randn(3 * CHUNK + 9)
    params = [torch.nn.Parameter(storage[:n]) for n in (0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 7)]
    assert_agree(*both("mixed", params))
    wanted, _ = both("mixed", [torch.nn.Parameter(storage[1 : CHUNK + 4])])
    on_device = storage.cuda()
    p = torch.nn.Parameter(on_device[1 : CHUNK + 4])
    assert_agree(run(Mixed([p], implementation="fused"), [p]), wanted)
    assert torch.equal(on_device[CHUNK + 4 :].cpu(), storage[CHUNK + 4 :])
    assert on_device[0].item() == storage[0].item()


@pytest.fixture
def no_synchronization() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("options", [{}, {"capturable": True}, {"lr": "tensor"}], ids=str)
def test_a_step_waits_for_nothing(options: Any, scaled: bool, request: Any) -> None:
    params = on_gpu(parameters(torch.float32))
    given = {**options, **({"lr": torch.tensor(0.1, device="cuda")} if "lr" in options else {})}
    optimizer = optkit.create("adamax", params, implementation="fused", **given)
    if scaled:
        optimizer.grad_scale = torch.tensor(8.0, device="cuda")
        optimizer.found_inf = torch.tensor(0.0, device="cuda")
    grads = [[torch.randn_like(p) for p in params] for _ in range(3)]
    request.getfixturevalue("no_synchronization")
    for some in grads:
        set_gradients(params, some)
        optimizer.step()


def test_one_launch_for_400_tensors() -> None:
    params = [torch.nn.Parameter(torch.randn(64, device="cuda")) for _ in range(400)]
    optimizer = optkit.create("adamax", params, implementation="fused")
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    with torch.profiler.profile() as profile:
        optimizer.step()
        torch.cuda.synchronize()
    kernels = [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    assert [e.name for e in kernels] == ["fused"]


@pytest.mark.parametrize("name", ["adamax", "timed"])
def test_a_graph_replays_what_was_captured(name: str) -> None:
    """Also when the tables of eager steps are gone, and their memory is used otherwise."""
    found = []
    for captured in (True, False):
        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(n, device="cuda")) for n in (5, CHUNK + 3)]
        optimizer = ALGORITHMS[name](params, implementation="fused", capturable=True)
        static = [torch.zeros_like(p) for p in params]
        set_gradients(params, [torch.ones_like(p) for p in params])
        optimizer.step()
        for p, g in zip(params, static, strict=True):
            p.grad = g
        step = optimizer.step
        if captured:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                optimizer.step()
            device_table._words.cache_clear()
            device_table._chunks.cache_clear()
            waste = [torch.full((4096,), -1, device="cuda") for _ in range(64)]
            step = graph.replay
        for k in range(5):
            for g in static:
                g.fill_(0.1 * (k - 2))
            step()
        found.append([p.detach().cpu() for p in params])
        found[-1] += [optimizer.state[p]["step"].cpu() for p in params]
    assert_agree(found[0], found[1])
    assert found[0][-1] == 6
    assert waste[0][0] == -1


def test_the_current_stream_is_used() -> None:
    p = torch.nn.Parameter(torch.ones(CHUNK * 64, device="cuda"))
    p.grad = torch.zeros_like(p)
    optimizer = optkit.create("adamax", [p], lr=0.5, implementation="fused")
    optimizer.step()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        p.grad.fill_(1.0)
        optimizer.step()
    stream.synchronize()
    assert (p < 1).all()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_that_is_not_the_current_one() -> None:
    params = on_gpu(parameters(torch.float32), "cuda:1")
    other = on_gpu(parameters(torch.float32), "cuda:0")
    assert torch.cuda.current_device() == 0
    found = run(optkit.create("adamax", params, implementation="fused"), params)
    assert_agree(found, run(optkit.create("adamax", other, implementation="fused"), other))


@pytest.mark.parametrize("name", TORCH)
def test_grad_scaler_skips_a_step_as_a_whole(name: str) -> None:
    p = torch.nn.Parameter(torch.ones(CHUNK + 37, device="cuda"))
    scaler = torch.amp.GradScaler("cuda", init_scale=8.0)
    optimizer = optkit.create(name, [p], lr=0.1, implementation="fused")
    for factor, steps in ((3.0, 1), (float("inf"), 1), (2.0, 2)):
        before = p.detach().clone()
        optimizer.zero_grad()
        scaler.scale((p * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert optimizer.state[p]["step"].item() == steps
        assert torch.equal(p, before) == (factor == float("inf"))
    first = torch.full_like(p, 0.9)
    assert (p < first).all() and torch.isfinite(p).all()


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
