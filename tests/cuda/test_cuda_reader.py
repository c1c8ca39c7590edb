"""What notices changes on a device: the native reader by each of its ways, and Python."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import devices
import pytest
import torch
from devices import Params, sized
from torch import Tensor

import optkit
from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.triton_signature import CHUNK
from optkit_core.native import tensor_reader_loader
from optkit_core.step.group_values import GroupValues
from optkit_core.testing import assert_agree

device = pytest.fixture(params=devices.PLACES)(devices.standing)

SHAPES = [(77,), (8, 5, 3, 3), (CHUNK + 1,), ()]
Change = Callable[[Any, Params], None]


def gradients_elsewhere(optimizer: Any, params: Params) -> None:
    for p in params:
        p.grad = torch.full_like(p, -0.5)


def a_gradient_missing(optimizer: Any, params: Params) -> None:
    params[1].grad = None


def values_elsewhere(optimizer: Any, params: Params) -> None:
    params[0].data = params[0].data.clone().mul_(2)


def another_layout(optimizer: Any, params: Params) -> None:
    params[1].data = params[1].data.to(memory_format=torch.channels_last)


def a_view_with_an_offset(optimizer: Any, params: Params) -> None:
    params[0].data = torch.cat([params[0].data, params[0].data])[3:80]


def state_elsewhere(optimizer: Any, params: Params) -> None:
    optimizer.state[params[0]]["exp_avg"] = torch.full_like(params[0], 0.3)


def memory_of_state_elsewhere(optimizer: Any, params: Params) -> None:
    state = optimizer.state[params[2]]["exp_inf"]
    state.data = state.data.clone().mul_(2)


def no_state(optimizer: Any, params: Params) -> None:
    del optimizer.state[params[1]]


def another_count(optimizer: Any, params: Params) -> None:
    optimizer.state[params[0]]["step"].fill_(40)


def loaded(optimizer: Any, params: Params) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def counters_on_the_device(optimizer: Any, params: Params) -> None:
    """As a checkpoint of torch's fused optimizers has them."""
    for p in params:
        state = optimizer.state[p]
        state["step"] = state["step"].to(p.device)


CHANGES: list[Change] = [
    *(gradients_elsewhere, a_gradient_missing, values_elsewhere, another_layout),
    *(a_view_with_an_offset, state_elsewhere, memory_of_state_elsewhere, no_state),
    *(another_count, loaded, counters_on_the_device),
]


def trained(device: torch.device, implementation: str, change: Change) -> list[Tensor]:
    """Take two steps before a change and two after it; return the parameters."""
    generator = torch.Generator().manual_seed(0)
    params = devices.on(device, [torch.randn(shape, generator=generator) for shape in SHAPES])
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
    optimizer = optkit.create("adamax", groups, lr=0.1, implementation=implementation)
    for number in range(4):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).to(device)
        if number == 2:
            change(optimizer, params)
        optimizer.step()
    return [p.detach() for p in params]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_noticed(reading: str, device: torch.device, change: Change) -> None:
    assert_agree(*(trained(device, name, change) for name in ("fused", "forloop")))


def test_addresses_are_those_of_the_devices_memory(reading: str, device: torch.device) -> None:
    """After gradients and state have moved, as in every backward pass."""
    params = sized(device, [5, 0, CHUNK + 3])
    optimizer: Any = optkit.create("adamax", params, implementation="fused")
    for _ in range(3):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    (item,) = optimizer.plan_buckets(GroupValues(optimizer))
    states = [optimizer.state[p] for p in params]
    table = AddressTable(item.bucket, ("exp_avg", "exp_inf"), tensor_reader_loader.reader())
    kept = [p.grad for p in params]
    for p, state in zip(params, states, strict=True):
        p.grad = torch.ones_like(p)
        state["exp_avg"].data = state["exp_avg"].data.clone()
    assert table.refresh() == (reading != "Python")
    if reading != "Python":
        columns = [params, [p.grad for p in params]]
        columns += [[s[name] for s in states] for name in ("exp_avg", "exp_inf", "step")]
        assert list(table.memory) == [t.data_ptr() for column in columns for t in column]
    assert len(kept) == 3


def test_a_plan_is_kept_while_only_gradients_move(device: torch.device) -> None:
    params = sized(device, [5, 70, CHUNK + 3])
    optimizer: Any = optkit.create("adamax", params, implementation="fused")
    plans = []
    for _ in range(4):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
        plans.append(optimizer._plan)
    assert tensor_reader_loader.reader() is not None, tensor_reader_loader.unavailable_reason()
    assert all(plan is plans[0] for plan in plans)
