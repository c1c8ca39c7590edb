"""Fused kernels for CUDA in graphs and on streams; where there is no GPU, what a graph is made of.

What stands in for a graph without a GPU are eager steps that take the way of captured ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import devices
import pytest
import torch
from algorithms import FLAT_FEW, skip_without_kernel
from bodies import Timed
from devices import Params, needs_gpu, sized
from groupings import by_rate, by_rate_on_device, by_two

import optkit
from optkit_core.implementations.fused import device_table
from optkit_core.implementations.fused.triton_signature import CHUNK
from optkit_core.testing import assert_agree

device = pytest.fixture(params=devices.ALL_PLACES)(devices.standing)
launches = pytest.fixture(devices.noted_launches)

ALGORITHMS: dict[str, Any] = {**FLAT_FEW, "timed": Timed}
SIZES = [5, CHUNK + 3, 64, 1]
ASLEEP = 200_000_000
"""Clock cycles that a stream sleeps, a tenth of a second: the host is long done by then."""


def captured(step: Callable[[], Any], device: torch.device) -> Callable[[], None]:
    """Return what replays a step that is captured in a graph."""
    if device.type == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay

    def replay() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device_table, "is_captured", lambda device: True)
            step()

    return replay


def with_gradients(
    algorithm: Any, device: torch.device, groups: Callable[[Params], Any]
) -> tuple[Params, Any, list[torch.Tensor]]:
    """Return parameters, an optimizer that has stepped once, and gradients that stay in place."""
    params = sized(device, SIZES)
    optimizer = algorithm(groups(params), implementation="fused", capturable=True)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    static = [torch.zeros_like(p) for p in params]
    for p, g in zip(params, static, strict=True):
        p.grad = g
    return params, optimizer, static


def overwrite_what_is_free(device: torch.device) -> list[torch.Tensor]:
    """Let go of all tables, take the memory that is free then, and fill it."""
    device_table._words.cache_clear()
    device_table._chunks.cache_clear()
    sizes = [2**k for k in range(4, 12)] * 4
    return [torch.full((size,), -1, device=device) for size in sizes]


@pytest.mark.parametrize("groups", [list, by_rate, by_two, by_rate_on_device])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_graph_replays_what_was_captured(device: torch.device, name: str, groups: Any) -> None:
    """Also when the tables of eager steps are gone, and their memory is used otherwise."""
    if name == "timed" and groups is by_two:
        pytest.skip("it has no weight decay")
    skip_without_kernel(name, capturable=True)
    found = []
    for is_captured in (True, False):
        params, optimizer, static = with_gradients(ALGORITHMS[name], device, groups)
        step = captured(optimizer.step, device) if is_captured else optimizer.step
        waste = overwrite_what_is_free(device)
        for k in range(5):
            for g in static:
                g.fill_(0.1 * (k - 2))
            step()
        assert all((some == -1).all() for some in waste)
        found.append([p.detach().cpu() for p in params])
        states = [optimizer.state[p] for p in params]
        found[-1] += [state["step"].cpu() for state in states if "step" in state]
    assert_agree(found[0], found[1])
    assert not ALGORITHMS[name].counts_steps or found[0][-1] == 6


@pytest.mark.parametrize("name", FLAT_FEW)
def test_a_graph_is_one_launch_for_all_groups(
    device: torch.device, name: str, launches: Any
) -> None:
    skip_without_kernel(name, capturable=True)
    _, optimizer, _ = with_gradients(ALGORITHMS[name], device, by_rate)
    launches.clear()
    replay = captured(optimizer.step, device)
    assert len(launches) == (1 if device.type == "cuda" else 0)
    replay()
    assert len(launches) == 1


def test_a_graph_follows_learning_rates_in_the_devices_memory(device: torch.device) -> None:
    params, optimizer, static = with_gradients(optkit.get("adamax"), device, by_rate_on_device)
    step = captured(optimizer.step, device)
    for g in static:
        g.fill_(0.5)
    before = [p.detach().clone() for p in params]
    for group in optimizer.param_groups:
        group["lr"].fill_(0.0)
    step()
    assert all(map(torch.equal, params, before))
    optimizer.param_groups[1]["lr"].fill_(1.0)
    step()
    assert torch.equal(params[0], before[0])
    assert (params[1] < before[1]).all()


def training() -> tuple[Callable[[], None], Callable[[], torch.Tensor]]:
    """Return a training step on the GPU, of a model with a group for each parameter; its loss."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(32, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1)]
    model = torch.nn.Sequential(*layers).cuda()
    inputs, targets = torch.randn(128, 32, device="cuda"), torch.randn(128, 1, device="cuda")
    groups = by_rate(list(model.parameters()))
    optimizer = optkit.create("adamax", groups, implementation="fused", capturable=True)

    def loss() -> torch.Tensor:
        return torch.nn.functional.mse_loss(model(inputs), targets)

    def train() -> None:
        optimizer.zero_grad(set_to_none=False)
        loss().backward()
        optimizer.step()

    return train, loss


@needs_gpu
def test_a_graph_of_forward_backward_and_step_trains() -> None:
    """The step of many groups in the middle of a whole captured training step."""
    losses = []
    for is_captured in (True, False):
        step, loss = training()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        before = loss().item()
        if is_captured:
            step = captured(step, torch.device("cuda"))
        for _ in range(10):
            step()
        losses.append(loss().detach().cpu())
        assert losses[-1] < before
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-5)


@needs_gpu
def test_the_current_stream_is_used() -> None:
    p = torch.nn.Parameter(torch.ones(CHUNK * 64, device="cuda"))
    p.grad = torch.zeros_like(p)
    optimizer = optkit.create("adamax", [p], lr=0.5, implementation="fused")
    optimizer.step()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(ASLEEP)
        p.grad.fill_(1.0)
        optimizer.step()
    stream.synchronize()
    assert (p < 1).all()


@needs_gpu
@pytest.mark.parametrize("groups", [list, by_rate])
def test_tables_of_a_stream_that_sleeps_are_not_overwritten(groups: Any) -> None:
    """Many steps wait on the device, each with tables of its own; nobody keeps those.

    The memory that they were copied from, and the memory that they lie in, is asked for anew
    meanwhile, on the same stream and on another one.
    """
    device, stream = torch.device("cuda", 0), torch.cuda.Stream()
    sets = [sized(device, SIZES) for _ in range(13)]
    before = [p.detach().clone() for p in sets[0]]
    compiling, *optimizers = [
        optkit.create("adamax", groups(params), lr=0.01, implementation="fused") for params in sets
    ]
    for params in sets:
        for p in params:
            p.grad = torch.ones_like(p)
    compiling.step()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(5 * ASLEEP)
        for optimizer in optimizers:
            optimizer.step()
            waste = overwrite_what_is_free(device)
    waste += overwrite_what_is_free(device)
    torch.cuda.synchronize()
    for params in sets[1:]:
        assert_agree(params, sets[0])
    for place, (p, old) in enumerate(zip(sets[0], before, strict=True)):
        lr = 0.01 * (place + 1) if groups is by_rate else 0.01
        assert_agree([p], [old - lr])
    assert all((some == -1).all() for some in waste)


@needs_gpu
def test_an_optimizer_goes_from_stream_to_stream() -> None:
    """Each stream makes its tables in its own order of work."""
    device = torch.device("cuda", 0)
    params, other = (sized(device, SIZES) for _ in range(2))
    optimizer = optkit.create("adamax", by_rate(params), implementation="fused")
    wanted = optkit.create("adamax", by_rate(other), implementation="forloop")
    streams = [torch.cuda.Stream() for _ in range(3)]
    for p, q in zip(params, other, strict=True):
        p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
    torch.cuda.synchronize()
    last = torch.cuda.current_stream()
    for k in range(6):
        stream = streams[k % 3]
        stream.wait_stream(last)
        with torch.cuda.stream(stream):
            torch.cuda._sleep(ASLEEP // 10)
            optimizer.step()
        last = stream
        wanted.step()
    torch.cuda.synchronize()
    assert_agree(params, other)
