"""A parameter of another shape than its state is an error before anything changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import COUNTED, TORCH, with_state

import optkit
from optkit_core import ShapeError

IMPLEMENTATIONS = ["fused", "foreach", "forloop", "auto"]

SHAPES = {
    "more": lambda p: torch.cat([p, p]),
    "fewer": lambda p: p[:2],
    "a dimension more": lambda p: p[None],
    "a dimension less": lambda p: p.flatten(),
    "another order": lambda p: p.t(),
    "none left": lambda p: p[:0],
}


def stepped(name: str, implementation: str) -> tuple[Any, list[torch.nn.Parameter]]:
    params = [torch.nn.Parameter(torch.ones(5, 7)) for _ in range(4)]
    optimizer = optkit.create(name, params, **with_state(name, implementation=implementation))
    for _ in range(2):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    return optimizer, params


def everything(optimizer: Any, params: Any) -> list[torch.Tensor]:
    states = [value for state in optimizer.state.values() for value in state.values()]
    return [tensor.detach().clone() for tensor in (*params, *states)]


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", TORCH)
def test_it_names_parameter_buffer_and_shapes(
    name: str, implementation: str, shape: str, with_gradient: bool
) -> None:
    optimizer, params = stepped(name, implementation)
    params[2].data = SHAPES[shape](params[2].data).clone()
    if with_gradient:
        params[2].grad = torch.ones_like(params[2])
    before = everything(optimizer, params)
    buffer = next(name for name, item in optimizer.buffers.items() if not item.is_scalar)
    new = tuple(params[2].shape)
    for _ in range(2):
        with pytest.raises(ShapeError) as found:
            optimizer.step()
        message = str(found.value)
        assert f"parameter 2 of group 0 has shape {new}, its buffer {buffer!r} (5, 7)." in message
    after = everything(optimizer, params)
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_way_out_works(implementation: str) -> None:
    optimizer, params = stepped("adamax", implementation)
    params[1].data = torch.ones(2, 3)
    with pytest.raises(ShapeError, match=r"del optimizer\.state"):
        optimizer.step()
    del optimizer.state[params[1]]
    with pytest.raises(ShapeError, match=r"has shape \(2, 3\), its gradient \(5, 7\)"):
        optimizer.step()
    params[1].grad = torch.ones(2, 3)
    optimizer.step()
    assert optimizer.state[params[1]]["exp_avg"].shape == (2, 3)
    assert [optimizer.state[p]["step"].item() for p in params] == [3, 1, 3, 3]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_name_is_told(implementation: str) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = optkit.create(
        "adamax", list(layer.named_parameters()), implementation=implementation
    )
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    layer.weight.data = torch.ones(2, 5)
    with pytest.raises(ShapeError, match=r"parameter 0 of group 0 \('weight'\) has shape"):
        optimizer.step()


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("eager", [False, True])
def test_a_model_may_be_materialized_later(name: str, eager: bool) -> None:
    """Whether a request can be met is decided where the parameters have memory."""
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        layer = torch.nn.Linear(3, 2, device="meta")
        optimizer = optkit.create(name, layer.parameters(), fused=True, eager_state=eager)
        layer.to_empty(device="cpu")
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    for p in layer.parameters():
        torch.nn.init.ones_(p)
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert [choice.name for choice in optimizer.plan] == ["fused"]
    assert all(torch.all(p < 1) for p in layer.parameters())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", TORCH)
def test_state_made_for_inference_serves_outside_of_it(name: str, implementation: str) -> None:
    params = [torch.nn.Parameter(torch.ones(5)) for _ in range(2)]
    optimizer = optkit.create(name, params, implementation=implementation, eager_state=False)
    for p in params:
        p.grad = torch.ones(5)
    with torch.inference_mode():
        optimizer.step()
    optimizer.step()
    with torch.inference_mode():
        other = optkit.create(name, params, implementation=implementation, eager_state=True)
        other.load_state_dict(optimizer.state_dict())
    optimizer.step()
    other.step()
    tensors = [value for state in other.state.values() for value in state.values()]
    assert not any(tensor.is_inference() for tensor in tensors)
    counts = [state["step"].item() for state in other.state.values() if name in COUNTED]
    assert counts == ([3, 3] if name in COUNTED else [])
