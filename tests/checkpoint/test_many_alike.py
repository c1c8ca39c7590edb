"""Loading the state of many parameters that are alike, and the odd one among them."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

import optkit
from optkit_core import CheckpointError
from optkit_core.checkpoint.load.convert_and_copy import BLOCK
from optkit_core.step.garbage_collector import uncollected

COUNT = BLOCK + 3
ODD = BLOCK + 1
"""The odd one stands in the last block, and is neither the first nor the last in it."""


def stepped(count: int = COUNT, steps: int = 2, shape: tuple[int, ...] = (2, 3)) -> Any:
    params = [torch.nn.Parameter(torch.full(shape, 1.0 + i)) for i in range(count)]
    optimizer = optkit.create("adamax", params, implementation="forloop")
    for _ in range(steps):
        for i, p in enumerate(params):
            p.grad = torch.full_like(p, 0.5 + i)
        optimizer.step()
    return optimizer


def live(optimizer: Any, position: int = ODD) -> dict[str, Any]:
    state: dict[str, Any] = optimizer.state[optimizer.param_groups[0]["params"][position]]
    return state


def test_each_gets_its_own_values() -> None:
    source, target = stepped(steps=3), stepped(steps=1)
    buffers = [value for i in range(COUNT) for value in live(target, i).values()]
    target.load_state_dict(source.state_dict())
    assert repr(target.state_dict()["state"]) == repr(source.state_dict()["state"])
    kept = [value for i in range(COUNT) for value in live(target, i).values()]
    assert all(one is other for one, other in zip(kept, buffers, strict=True))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", torch.tensor(-1.0, dtype=torch.float64)),
        ("step", torch.ones(1, dtype=torch.float64)),
        ("step", torch.tensor(float("nan"), dtype=torch.float64)),
        ("step", torch.tensor(True)),
        ("step", torch.tensor(2.0, device="meta", dtype=torch.float64)),
        ("step", -1),
        ("exp_avg", torch.ones(3, 2)),
        ("exp_avg", torch.ones(2, 3, dtype=torch.int64)),
        ("exp_avg", torch.ones(2, 3, device="meta")),
        ("exp_avg", torch.ones(2, 3).to_sparse()),
        ("exp_avg", None),
    ],
    ids=repr,
)
def test_an_odd_value_among_many_is_refused_by_name(key: str, value: Any) -> None:
    source, target = stepped(), stepped(steps=1)
    saved, before = source.state_dict(), repr(target.state_dict())
    saved["state"][ODD][key] = value
    with pytest.raises(CheckpointError, match=rf"\n- {key} of parameter {ODD} .*") as caught:
        target.load_state_dict(saved)
    assert str(caught.value).count("\n- ") == 1
    assert repr(target.state_dict()) == before


@pytest.mark.parametrize("value", [2.0, torch.tensor(2.0), torch.tensor(2)], ids=repr)
def test_an_odd_counter_among_many_is_converted(value: Any) -> None:
    source, target = stepped(), stepped(steps=1)
    saved = copy.deepcopy(source.state_dict())
    saved["state"][ODD]["step"] = value
    target.load_state_dict(saved)
    assert repr(target.state_dict()["state"]) == repr(source.state_dict()["state"])


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(1, dtype=torch.float64),
        torch.ones((), device="meta"),
        torch.tensor(1.0).to_sparse(),
        torch.tensor(2**53 + 1),
    ],
    ids=repr,
)
def test_counters_that_are_all_wrong_are_refused(value: torch.Tensor) -> None:
    source, target = stepped(), stepped(steps=1)
    saved, before = source.state_dict(), repr(target.state_dict())
    for state in saved["state"].values():
        state["step"] = value
    with pytest.raises(CheckpointError, match=r"\n- step of parameter 0 .*"):
        target.load_state_dict(saved)
    assert repr(target.state_dict()) == before


def test_an_odd_width_among_many_is_converted() -> None:
    source, target = stepped(), stepped(steps=1)
    saved = copy.deepcopy(source.state_dict())
    saved["state"][ODD]["exp_avg"] = saved["state"][ODD]["exp_avg"].double()
    target.load_state_dict(saved)
    assert repr(target.state_dict()["state"]) == repr(source.state_dict()["state"])


def other_layout(buffer: torch.Tensor) -> torch.Tensor:
    return buffer.t().contiguous().t()


def inference(buffer: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return buffer.clone()


SPOILED: dict[str, Callable[[torch.Tensor], Any]] = {
    "other layout": other_layout,
    "other dtype": torch.Tensor.double,
    "other shape": lambda buffer: buffer[:1].clone(),
    "on the meta device": lambda buffer: buffer.to("meta"),
    "needs a gradient": lambda buffer: buffer.clone().requires_grad_(),
    "of inference": inference,
    "sparse": torch.Tensor.to_sparse,
    "missing": lambda buffer: None,
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_an_odd_buffer_among_many_is_replaced(spoil: str) -> None:
    source, target = stepped(), stepped(steps=1)
    odd = live(target)["exp_avg"] = SPOILED[spoil](live(target)["exp_avg"])
    neighbor = live(target, ODD - 1)["exp_avg"]
    target.load_state_dict(source.state_dict())
    assert repr(target.state_dict()["state"]) == repr(source.state_dict()["state"])
    assert live(target)["exp_avg"] is not odd
    assert live(target)["exp_avg"].stride() == (3, 1)
    assert live(target, ODD - 1)["exp_avg"] is neighbor


def test_an_odd_parameter_among_many_decides_on_its_buffers() -> None:
    source, target = stepped(), stepped(steps=1)
    p = target.param_groups[0]["params"][ODD]
    p.data = p.data.double()
    target.load_state_dict(source.state_dict())
    assert live(target)["exp_avg"].dtype == torch.float64
    assert live(target, ODD - 1)["exp_avg"].dtype == torch.float32
    assert torch.equal(live(target)["exp_avg"].float(), live(source)["exp_avg"])


def test_views_of_live_buffers_may_be_exchanged() -> None:
    optimizer = stepped()
    saved, wanted = optimizer.state_dict(), copy.deepcopy(optimizer.state_dict()["state"])
    for here, there in ((0, ODD), (ODD, 0)):
        saved["state"][here] = {
            key: value.detach() for key, value in live(optimizer, there).items()
        }
    optimizer.load_state_dict(saved)
    found = optimizer.state_dict()["state"]
    assert repr(found[0]) == repr(wanted[ODD])
    assert repr(found[ODD]) == repr(wanted[0])


def test_nesting_has_an_end() -> None:
    optimizer = stepped(1)
    saved = optimizer.state_dict()
    value: Any = 1.0
    for _ in range(2000):
        value = [value]
    saved["state"][0]["exp_avg"] = value
    with pytest.raises(CheckpointError, match="nested more than 10 levels"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("is_on", [True, False])
def test_the_collector_is_as_before_whatever_happens(is_on: bool) -> None:
    was_on = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        with pytest.raises(KeyError), uncollected():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if was_on else gc.disable)()
