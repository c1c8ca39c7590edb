"""Fused kernels for CUDA over many groups, on a GPU or on what stands in for one."""

from __future__ import annotations

from typing import Any

import devices
import pytest
import torch
from algorithms import FLAT_FEW, WITH_SCALARS, skip_without_kernel
from bodies import Timed
from devices import both, on, sized
from groupings import by_rate, by_rate_on_device, by_two
from problems import parameters

import optkit
from optkit_core import Elementwise
from optkit_core.implementations.fused.triton_signature import CHUNK
from optkit_core.testing import assert_agree

device = pytest.fixture(params=devices.ALL_PLACES)(devices.standing)
launches = pytest.fixture(devices.noted_launches)

ALGORITHMS: dict[str, type[Elementwise]] = {
    **FLAT_FEW,
    "timed": Timed,
}
SIZES = [5, 3000, 0, 64, 1, CHUNK + 7]


def launches_of(name: str, device: torch.device) -> int:
    """Return how many launches there are for the steps, whatever the number of groups.

    One for each; and one more where a body sets a buffer, since the gradient of the last
    parameter is missing in the first step: then it begins while the others go on.
    """
    buffers = ALGORITHMS[name].buffers.values()
    is_begun = any(buffer.is_set_by_body and buffer.when is None for buffer in buffers)
    return devices.STEPS[device.type] + is_begun


each_algorithm = pytest.mark.parametrize("name", ALGORITHMS)


@pytest.mark.parametrize("capturable", [False, True])
@each_algorithm
def test_all_groups_are_one_launch(
    device: torch.device, name: str, capturable: bool, launches: Any
) -> None:
    """Also where they have missed different gradients."""
    skip_without_kernel(name, capturable)
    params = sized(device, SIZES)
    assert_agree(*both(ALGORITHMS[name], params, device, by_rate, capturable=capturable))
    assert len(launches) == launches_of(name, device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@each_algorithm
def test_groups_agree_with_the_forloop(device: torch.device, name: str, dtype: torch.dtype) -> None:
    """Of every layout, with gradients that are missing."""
    assert_agree(*both(ALGORITHMS[name], parameters(dtype), device, by_rate))


def test_groups_of_other_bodies_are_a_launch_for_each(device: torch.device, launches: Any) -> None:
    """A group that decays runs another kernel than those that don't."""
    assert_agree(*both(optkit.get("adamax"), sized(device, SIZES), device, by_two))
    assert len(launches) == 2 * devices.STEPS[device.type]


def test_dtypes_are_a_launch_for_each(device: torch.device, launches: Any) -> None:
    params: list[Any] = [*sized(device, [7, 90]), *sized(device, [8, 91], torch.bfloat16)]
    found, wanted = both(optkit.get("adamax"), params, device, by_rate)
    for one, other in zip(found, wanted, strict=True):
        assert_agree([one], [other], dtype=torch.bfloat16)
    assert len(launches) == 2 * devices.STEPS[device.type]


@pytest.mark.parametrize("capturable", [False, True])
@each_algorithm
def test_learning_rates_in_the_devices_memory_are_one_launch(
    device: torch.device, name: str, capturable: bool, launches: Any
) -> None:
    skip_without_kernel(name, capturable)
    params = sized(device, SIZES)
    found, wanted = both(ALGORITHMS[name], params, device, by_rate_on_device, capturable=capturable)
    assert_agree(found, wanted)
    assert len(launches) == launches_of(name, device)


def test_rows_take_their_groups_numbers_whatever_their_order(
    device: torch.device, launches: Any
) -> None:
    """So many groups that the numbers fill more than one line of memory."""
    params = sized(device, [3] * 40)
    groups = [{"params": params[i::8], "lr": float(i + 1)} for i in range(8)]
    optimizer = optkit.create("adamax", groups, implementation="fused")
    before = [p.detach().clone() for p in params]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert_agree(params, [old - (i % 8 + 1) for i, old in enumerate(before)])
    assert len(launches) == 1
    assert launches[0][1] == [i for i in range(8) for _ in params[i::8]]


def test_a_schedule_in_each_group_reaches_its_rows(device: torch.device, launches: Any) -> None:
    ends = []
    for implementation in ("fused", "forloop"):
        params = sized(device, SIZES)
        optimizer = optkit.create("adamax", by_rate(params), implementation=implementation)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, [lambda k, i=i: 1 / (1 + k * i) for i in range(len(params))]
        )
        for _ in range(4):
            for p in params:
                p.grad = torch.ones_like(p)
            optimizer.step()
            scheduler.step()
        ends.append(params)
    assert_agree(*ends)
    assert len(launches) == 4


def test_a_group_that_comes_later_is_in_the_same_launch(
    device: torch.device, launches: Any
) -> None:
    ends = []
    for implementation in ("fused", "forloop"):
        params = sized(device, [5, 70, CHUNK + 1])
        optimizer = optkit.create("adamax", by_rate(params[:2]), implementation=implementation)
        devices.run(optimizer, params[:2], 3)
        optimizer.add_param_group({"params": params[2], "lr": 0.3})
        devices.run(optimizer, params, 3)
        ends.append(params)
    assert_agree(*ends)
    assert len(launches) == 6
    assert launches[-1][0] == [5, 75, 75 + CHUNK + 1]


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("groups", [list, by_rate, by_two, by_rate_on_device])
@pytest.mark.parametrize("name", FLAT_FEW)
def test_grad_scaler_skips_a_step_as_a_whole(
    device: torch.device,
    name: str,
    groups: Any,
    capturable: bool,
    launches: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One gradient that isn't finite keeps every group as it is, step counters included.

    Nobody but the device knows of it, and what it takes is a launch for each kernel; numbers of a
    parameter are the host's, which then has to know.
    """
    skip_without_kernel(name, capturable)
    devices.skipping(monkeypatch)
    params, other = (sized(device, [5, CHUNK + 3, 64]) for _ in range(2))
    fused = optkit.create(
        name, groups(params), lr=0.1, implementation="fused", capturable=capturable
    )
    wanted = optkit.create(
        name, groups(other), lr=0.1, implementation="forloop", capturable=capturable
    )
    scaler = torch.amp.GradScaler(device.type, init_scale=8.0)
    for factor in (3.0, float("inf"), 2.0, 0.5):
        before = [p.detach().clone() for p in params]
        for optimizer in (fused, wanted):
            optimizer.zero_grad()
        scaled = scaler.scale(params[0].sum() + params[1].sum() * factor - params[2].sum())
        scaled.backward()
        scaler.step(fused)
        scaler.update()
        assert all(map(torch.equal, params, before)) == (factor == float("inf"))
        if factor != float("inf"):
            (other[0].sum() + other[1].sum() * factor - other[2].sum()).backward()
            wanted.step()
    assert_agree(params, other)
    if optkit.get(name).counts_steps:
        assert [fused.state[p]["step"].item() for p in params] == [3, 3, 3]
    steps = 3 if name in WITH_SCALARS else 4
    # Two branches where the other group's weight decay isn't off.
    is_decayed = bool(optkit.get(name).default_values.get("weight_decay"))
    assert len(launches) == steps * (2 if groups is by_two and not is_decayed else 1)


def test_a_state_of_torchs_goes_on_in_one_launch(device: torch.device, launches: Any) -> None:
    """Loaded counters lie where torch has them, on the host."""
    params, other = (sized(device, SIZES) for _ in range(2))
    theirs = torch.optim.Adamax(by_rate(other), foreach=True)
    devices.run(theirs, other, 3)
    ours = optkit.create("adamax", by_rate(params), implementation="fused")
    ours.load_state_dict(theirs.state_dict())
    for p, q in zip(params, other, strict=True):
        p.data.copy_(q)
    assert_agree(devices.run(ours, params, 3), devices.run(theirs, other, 3))
    assert len(launches) == 3


@pytest.mark.parametrize("name", FLAT_FEW)
def test_hundreds_of_groups_of_one(device: torch.device, name: str, launches: Any) -> None:
    shapes = [(8, 8), (8,)] * (200 if device.type == "cuda" else 20)
    ends = []
    for implementation in ("fused", "forloop"):
        generator = torch.Generator().manual_seed(0)
        params = on(device, [torch.randn(shape, generator=generator) for shape in shapes])
        optimizer = optkit.create(name, by_rate(params), implementation=implementation)
        for _ in range(2):
            for p in params:
                p.grad = torch.ones_like(p)
            optimizer.step()
        ends.append(params)
    assert_agree(*ends)
    assert len(launches) == 2
