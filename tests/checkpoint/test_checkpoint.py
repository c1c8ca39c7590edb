"""State dicts, pickles and copies: both ways with torch.optim, and the same trajectory after."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from algorithms import TORCH, WITH_SCALARS, declared, with_state
from problems import gradients, set_gradients
from torch_inputs import suited

import optkit
from optkit_core.testing import assert_agree


def step(optimizer: Any, grads: list[Any]) -> None:
    set_gradients(optimizer.param_groups[0]["params"], grads)
    optimizer.step()


def through_a_file(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("direction", ["torch to optkit", "optkit to torch", "optkit to optkit"])
@pytest.mark.parametrize("name", TORCH)
def test_interchange_continues_the_run(name: str, direction: str, implementation: str) -> None:
    mine, other = suited(name, torch.float64), suited(name, torch.float64)
    flag = implementation == "foreach"
    options = with_state(name, lr=0.1, **declared(name, weight_decay=0.01))
    ours = optkit.create(name, mine, implementation=implementation, **options)
    theirs = TORCH[name](other, foreach=flag, **options)
    sequence = list(gradients(mine, 20))
    for grads in sequence[:10]:
        step(ours, grads)
        step(theirs, grads)
    if direction == "torch to optkit":
        source, target = theirs, optkit.create(name, mine, implementation=implementation)
        ours = target
    elif direction == "optkit to torch":
        source, target = ours, TORCH[name](other)
        theirs = target
    else:
        source, target = ours, optkit.create(name, mine)
        ours = target
    target.load_state_dict(through_a_file(source.state_dict()))
    for grads in sequence[10:]:
        step(ours, grads)
        step(theirs, grads)
    # torch casts scalar buffers to the parameter's dtype, and in foreach computes in float32.
    assert_agree(mine, other, torch.float32 if name in WITH_SCALARS else None)
    assert target.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "state_dict"])
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", TORCH)
def test_a_resumed_run_equals_the_uninterrupted_one(
    name: str, implementation: str, how: str
) -> None:
    options = {"lr": 0.1, "implementation": implementation}
    whole, cut = (  # without gaps, which a copy closes: sums over it round otherwise
        [p for p in suited(name, torch.float32) if p.stride() == torch.empty_like(p).stride()]
        for _ in range(2)
    )
    uninterrupted = optkit.create(name, whole, **options)
    first = optkit.create(name, cut, **options)
    sequence = list(gradients(whole, 16))
    for grads in sequence[:7]:
        step(uninterrupted, grads)
        step(first, grads)
    if how == "state_dict":
        second = optkit.create(name, cut, **options)
        second.load_state_dict(through_a_file(first.state_dict()))
    elif how == "deepcopy":
        second = copy.deepcopy(first)
    else:
        second = pickle.loads(pickle.dumps(first))
    for grads in sequence[7:]:
        step(uninterrupted, grads)
        step(second, grads)
    for p, q in zip(whole, second.param_groups[0]["params"], strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)
    assert {choice.name for choice in second.plan} == {implementation}


@pytest.mark.parametrize("name", TORCH)
def test_a_pickle_keeps_an_ambient_request(name: str) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    with optkit.use("foreach"):
        optimizer = optkit.create(name, [p])
    for revived in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        revived.param_groups[0]["params"][0].grad = torch.ones(3)
        revived.step()
        assert [choice.name for choice in revived.plan] == ["foreach"]


@pytest.mark.parametrize("name", TORCH)
def test_older_shapes_of_a_checkpoint_load(name: str) -> None:
    """Old torch wrote the step as a plain number and knew fewer options."""
    mine, other = suited(name, torch.float64), suited(name, torch.float64)
    ours, theirs = optkit.create(name, mine, lr=0.1), TORCH[name](other, lr=0.1)
    sequence = list(gradients(mine, 8))
    for grads in sequence[:4]:
        step(ours, grads)
        step(theirs, grads)
    old = copy.deepcopy(theirs.state_dict())
    for state in old["state"].values():
        state["step"] = int(state["step"])
    for group in old["param_groups"]:
        for flag in ("foreach", "maximize", "differentiable", "capturable", "fused"):
            group.pop(flag, None)
    ours = optkit.create(name, mine)
    ours.load_state_dict(old)
    for grads in sequence[4:]:
        step(ours, grads)
        step(theirs, grads)
    assert_agree(mine, other)
    assert all(torch.is_tensor(state["step"]) for state in ours.state.values())


@pytest.mark.parametrize("name", TORCH)
def test_state_uses_torchs_keys_shapes_and_dtypes(name: str) -> None:
    mine, other = suited(name, torch.bfloat16), suited(name, torch.bfloat16)
    options = with_state(name)
    ours, theirs = optkit.create(name, mine, **options), TORCH[name](other, **options)
    for grads in gradients(mine, 2):
        step(ours, grads)
        step(theirs, grads)
    saved, wanted = ours.state_dict(), theirs.state_dict()
    assert saved.keys() == wanted.keys()
    assert saved["state"].keys() == wanted["state"].keys()
    assert wanted["param_groups"][0].keys() <= saved["param_groups"][0].keys()
    for index, buffers in wanted["state"].items():
        mine_there = saved["state"][index]
        assert mine_there.keys() == buffers.keys()
        for key, buffer in buffers.items():
            wide = torch.float64 if key == "step" else buffer.dtype
            assert mine_there[key].dtype == wide
            # Torch lays some out as the first gradient is, which is no business of the state's.
            is_like = buffer.shape == mine[index].shape
            wanted_layout = torch.empty_like(mine[index]) if is_like else buffer
            assert mine_there[key].stride() == wanted_layout.stride()


def test_adagrad_has_its_state_from_construction_on() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optkit.create("adagrad", [p], initial_accumulator_value=0.25)
    assert torch.equal(optimizer.state[p]["sum"], torch.full((3,), 0.25))
    optimizer.share_memory()
    assert optimizer.state[p]["sum"].is_shared()


@pytest.mark.parametrize("name", TORCH)
def test_classes_pickle_under_a_stable_name(name: str) -> None:
    cls = optkit.get(name)
    assert cls.__module__ == f"optkit_plugins.{name}"
    assert pickle.loads(pickle.dumps(cls)) is cls
