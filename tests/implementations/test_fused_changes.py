"""Between two steps anything may change; every implementation notices.

They are compared with the for-loop while the native reader is switched off: it keeps nothing then.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import optkit
from optkit_core.implementations import kept_buckets
from optkit_core.native import tensor_reader_loader

Change = Callable[[Any, list[torch.nn.Parameter]], Any]


def params_of(optimizer: Any) -> list[torch.nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def swap_data(optimizer: Any, params: Any) -> None:
    params[0].data = torch.linspace(-1, 1, params[0].numel()).view_as(params[0])


def swap_whole_tensors(optimizer: Any, params: Any) -> None:
    """Exchange what is behind two parameters, as modules do when they are told to swap."""
    other = torch.nn.Parameter(torch.linspace(-1, 1, params[0].numel()).view_as(params[0]))
    torch.utils.swap_tensors(params[0], other)
    kept.append(other)


def swap_to_channels_last(optimizer: Any, params: Any) -> None:
    params[1].data = params[1].data.to(memory_format=torch.channels_last)


def transpose(optimizer: Any, params: Any) -> None:
    params[2].data = params[2].data.t()


def swap_to_gaps(optimizer: Any, params: Any) -> None:
    params[0].data = torch.zeros(2 * params[0].numel())[::2].copy_(params[0].data)


def swap_to_float64(optimizer: Any, params: Any) -> None:
    params[0].data = params[0].data.double()


def swap_all_to_bfloat16(optimizer: Any, params: Any) -> None:
    for p in params:
        p.data = p.data.bfloat16()


def replace_state(optimizer: Any, params: Any) -> None:
    optimizer.state[params[0]]["exp_avg"] = torch.full_like(params[0], 0.3)


def replace_state_in_another_layout(optimizer: Any, params: Any) -> None:
    state = optimizer.state[params[1]]
    state["exp_inf"] = state["exp_inf"].to(memory_format=torch.channels_last)


def replace_state_in_another_dtype(optimizer: Any, params: Any) -> None:
    state = optimizer.state[params[1]]
    state["exp_avg"] = state["exp_avg"].double()


def swap_memory_of_state(optimizer: Any, params: Any) -> None:
    state = optimizer.state[params[0]]["exp_avg"]
    state.data = state.data.clone().mul_(2)


def forget_state(optimizer: Any, params: Any) -> None:
    del optimizer.state[params[1]]


def clear_state(optimizer: Any, params: Any) -> None:
    optimizer.state[params[1]].clear()


def exchange_states(optimizer: Any, params: Any) -> None:
    states = optimizer.state
    for p in params:
        states[p] = {key: value.clone() for key, value in states.pop(p).items()}


def set_counter(optimizer: Any, params: Any) -> None:
    optimizer.state[params[0]]["step"] = torch.tensor(40.0)


def set_counter_in_place(optimizer: Any, params: Any) -> None:
    optimizer.state[params[0]]["step"].fill_(7)


def set_counter_in_float64(optimizer: Any, params: Any) -> None:
    optimizer.state[params[0]]["step"] = torch.tensor(5.0, dtype=torch.float64)


def load(optimizer: Any, params: Any) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def load_another(optimizer: Any, params: Any) -> None:
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        if state:
            state["exp_avg"] *= -2
    saved["param_groups"][0]["lr"] = 0.5
    optimizer.load_state_dict(saved)


def add_group(optimizer: Any, params: Any) -> None:
    added = torch.nn.Parameter(torch.linspace(-1, 1, 77))
    optimizer.add_param_group({"params": [added], "lr": 0.2, "weight_decay": 0.1})


def remove_parameter(optimizer: Any, params: Any) -> None:
    del optimizer.param_groups[0]["params"][1]


def append_parameter(optimizer: Any, params: Any) -> None:
    optimizer.param_groups[0]["params"].append(torch.nn.Parameter(torch.linspace(-1, 1, 77)))


def reorder(optimizer: Any, params: Any) -> None:
    optimizer.param_groups[0]["params"].reverse()


def new_list(optimizer: Any, params: Any) -> None:
    optimizer.param_groups[0]["params"] = optimizer.param_groups[0]["params"][1:]


def replace_parameter(optimizer: Any, params: Any) -> None:
    optimizer.param_groups[0]["params"][0] = torch.nn.Parameter(torch.linspace(-1, 1, 77))


def turn_round(optimizer: Any, params: Any) -> None:
    optimizer.param_groups[0]["maximize"] = True


def decay(optimizer: Any, params: Any) -> None:
    optimizer.param_groups[0].update(weight_decay=0.3, lr=0.7, betas=(0.5, 0.6))


def deepcopied(optimizer: Any, params: Any) -> Any:
    return copy.deepcopy(optimizer)


def pickled(optimizer: Any, params: Any) -> Any:
    return pickle.loads(pickle.dumps(optimizer))


def step_another_way(optimizer: Any, params: Any) -> None:
    group = optimizer.param_groups[0]
    before = group["implementation"]
    group["implementation"] = "foreach"
    optimizer.step()
    group["implementation"] = before


def swap_to_a_view_with_offset(optimizer: Any, params: Any) -> None:
    params[0].data = torch.linspace(-1, 1, 5 + params[0].numel())[5:].view_as(params[0])


def swap_to_a_lazy_clone(optimizer: Any, params: Any) -> None:
    params[0].data = torch._lazy_clone(params[0].data)


def swap_state_to_a_view_with_offset(optimizer: Any, params: Any) -> None:
    state = optimizer.state[params[0]]["exp_inf"]
    state.data = torch.full((3 + state.numel(),), 0.2)[3:].view_as(state)


def transpose_state_in_place(optimizer: Any, params: Any) -> None:
    optimizer.state[params[2]]["exp_avg"].t_()


def change_the_shape_in_place(optimizer: Any, params: Any) -> None:
    for p in params:
        state = optimizer.state[p]
        for tensor in (p, state["exp_avg"], state["exp_inf"]):
            tensor.data = tensor.data.reshape(-1, p.shape[-1])
        p.grad = None


def move_to_shared_memory(optimizer: Any, params: Any) -> None:
    params[0].share_memory_()
    params[1].grad = torch.ones_like(params[1]).share_memory_()
    for entry in optimizer.state[params[1]].values():
        entry.share_memory_()


def resize_memory(optimizer: Any, params: Any) -> None:
    """Free and allocate memory as sharding does, with other memory taken in between."""
    values = params[0].detach().clone()
    memory = params[0].untyped_storage()
    size = memory.nbytes()
    memory.resize_(0)
    kept.append(torch.ones(values.shape))
    memory.resize_(size)
    params[0].data.copy_(values)


def nothing(optimizer: Any, params: Any) -> None:
    pass


kept: list[torch.Tensor] = []


CHANGES: list[Change] = [
    *(swap_whole_tensors,),
    *(swap_data, swap_to_channels_last, transpose, swap_to_gaps, swap_to_float64),
    *(swap_all_to_bfloat16, replace_state, replace_state_in_another_layout),
    *(replace_state_in_another_dtype, swap_memory_of_state, forget_state, clear_state),
    *(exchange_states, set_counter, set_counter_in_place, set_counter_in_float64),
    *(load, load_another, add_group, remove_parameter, append_parameter, reorder, new_list),
    *(swap_to_a_view_with_offset, swap_to_a_lazy_clone),
    *(swap_state_to_a_view_with_offset, transpose_state_in_place, change_the_shape_in_place),
    *(resize_memory, move_to_shared_memory),
    *(replace_parameter, turn_round, decay, deepcopied, pickled, step_another_way, nothing),
]


def trained(implementation: str, changes: list[Change], missing: bool = False) -> list[Any]:
    """Train with a change after every second step; return what is left."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(77,), (8, 5, 3, 3), (33, 33)]
    params = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
    optimizer: Any = optkit.create("adamax", params, lr=0.1, implementation=implementation)
    for change in [nothing, *changes]:
        optimizer = change(optimizer, params_of(optimizer)) or optimizer
        for number in range(2):
            for position, p in enumerate(params_of(optimizer)):
                g = torch.randn(p.shape, generator=generator).to(p.dtype)
                fresh = p.grad is None or p.grad.dtype != p.dtype or number == 0
                if missing and position == number:
                    p.grad = None
                elif fresh:
                    p.grad = g
                else:
                    p.grad.copy_(g)
            optimizer.step()
    states = [optimizer.state.get(p, {}) for p in params_of(optimizer)]
    return [*(p.detach() for p in params_of(optimizer)), *states]


def trained_anew(changes: list[Change], missing: bool = False) -> list[Any]:
    """Train by the for-loop with a new plan in each step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(tensor_reader_loader.SWITCH, "0")
        return trained("forloop", changes, missing)


IMPLEMENTATIONS = {"fused": 0.0, "forloop": 0.0, "foreach": 1e-6}
"""How far each may be off the for-loop, relative to the value."""

each_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@each_implementation
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_noticed(reading: str, change: Change, implementation: str) -> None:
    found, wanted = trained(implementation, [change]), trained_anew([change])
    exact = change is not swap_all_to_bfloat16
    tolerance = IMPLEMENTATIONS[implementation] if exact else 4e-2
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@each_implementation
@pytest.mark.parametrize("missing", [False, True])
def test_changes_one_after_another(reading: str, missing: bool, implementation: str) -> None:
    changes = [change for change in CHANGES if change is not swap_all_to_bfloat16]
    found, wanted = trained(implementation, changes, missing), trained_anew(changes, missing)
    tolerance = 100 * IMPLEMENTATIONS[implementation]
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@each_implementation
@pytest.mark.parametrize("shape", [(64,), (1, 2, 1, 2, 1, 2)], ids=str)
def test_what_holds_is_kept(shape: tuple[int, ...], implementation: str) -> None:
    """The plan of the step before serves again, though every gradient lies elsewhere."""
    params = [torch.nn.Parameter(torch.ones(shape)) for _ in range(9)]
    optimizer: Any = optkit.create("adamax", params, implementation=implementation)
    plans = []
    for _ in range(3):
        for p in params:
            p.grad = torch.ones(shape)
        optimizer.step()
        plans.append(optimizer._plan)
    assert plans[1] is plans[0] and plans[2] is plans[0]
    params[3].grad = None
    optimizer.step()
    assert optimizer._plan is not plans[0]


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_nothing_is_noted_where_nothing_can_be_read(
    implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On such devices each step would note all tensors in vain."""
    monkeypatch.setattr(kept_buckets, "AddressTable", None)
    p = torch.nn.Parameter(torch.ones(9, device="meta"))
    optimizer = optkit.create("adamax", [p], implementation=implementation)
    for _ in range(3):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert optimizer.state[p]["exp_avg"].is_meta


def test_whoever_shares_a_lazy_clone_keeps_its_values(reading: str) -> None:
    source = torch.linspace(-1, 1, 77)
    params = [torch.nn.Parameter(torch.ones(77)) for _ in range(2)]
    optimizer: Any = optkit.create("adamax", params, implementation="fused")
    for p in params:
        p.grad = torch.ones(77)
    optimizer.step()
    params[1].data = torch._lazy_clone(source)
    optimizer.step()
    assert torch.equal(source, torch.linspace(-1, 1, 77))
    assert not torch.equal(params[1], source)


@pytest.mark.parametrize(("before", "after"), [((), (5,)), ((77,), (40,)), ((6, 5), (6, 4))])
def test_another_shape_of_the_same_strides(
    reading: str, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    stride = torch.empty(before or after).stride()

    def steps(implementation: str) -> torch.Tensor:
        p = torch.nn.Parameter(torch.ones(before))
        optimizer: Any = optkit.create("adamax", [p], lr=0.1, implementation=implementation)
        p.grad = torch.ones(before)
        optimizer.step()
        for tensor in (p, optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_inf"]):
            tensor.data = torch.full(before or after, 0.5).as_strided(after, stride)
        p.grad = torch.ones(before or after).as_strided(after, stride)
        optimizer.step()
        return p.detach()

    assert torch.equal(steps("fused"), steps("forloop"))


def gradients(kind: str, shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    """Return gradients that were made in some special way."""
    sizes = [torch.Size(shape).numel() for shape in shapes]
    flat = torch.linspace(-1, 1, sum(sizes) + 1)
    if kind == "views of one memory":
        parts = torch.split(flat[1:], sizes)
    elif kind == "made for inference":
        with torch.inference_mode():
            parts = tuple(part.clone() for part in torch.split(flat[1:], sizes))
    else:
        parts = tuple(part.clone() for part in torch.split(flat[1:], sizes))
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


@pytest.mark.parametrize("kind", ["views of one memory", "made for inference", "new each time"])
def test_gradients_of_any_origin(reading: str, kind: str) -> None:
    shapes = [(77,), (1, 2, 3, 1, 2, 3), (3, 5, 7), (), (0,)]
    found, wanted = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    for implementation, params in (("fused", found), ("forloop", wanted)):
        optimizer: Any = optkit.create("adamax", params, lr=0.1, implementation=implementation)
        for number in range(4):
            for p, g in zip(params, gradients(kind if number else "", shapes), strict=True):
                p.grad = g
            optimizer.step()
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)
