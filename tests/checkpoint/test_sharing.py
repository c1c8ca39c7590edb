"""Saving shares the live tensors, as in torch; loading never does."""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import ELEMENTWISE, NAMES, TORCH, with_state
from states import state_of
from stepped import named, step, stepped

import optkit


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [t for item in items for t in tensors(item)] if isinstance(value, (dict, list)) else []


def addresses(value: Any) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors(value)}


def live(optimizer: Any) -> list[Any]:
    return [*optimizer.state.values(), *({**g, "params": []} for g in optimizer.param_groups)]


@pytest.mark.parametrize("side", ["optkit", "torch"])
@pytest.mark.parametrize("name", TORCH)
def test_a_state_dict_holds_the_live_tensors(name: str, side: str) -> None:
    cls = optkit.get(name) if side == "optkit" else TORCH[name]
    p = torch.nn.Parameter(torch.ones(5))
    p.grad = torch.ones(5)
    optimizer = cls([p], **with_state(name, lr=torch.tensor(0.1)))
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["state"][0] is optimizer.state[p]
    assert saved["param_groups"][0]["lr"] is optimizer.param_groups[0]["lr"]
    assert len(tensors(saved)) == len(optimizer.state[p]) + 1
    key = next(iter(saved["state"][0]))
    before = saved["state"][0][key].clone()
    optimizer.step()
    assert (saved["state"][0][key] != before).any()


@pytest.mark.parametrize("side", ["optkit", "torch"])
@pytest.mark.parametrize("name", TORCH)
def test_which_dict_is_which_and_the_groups_are_the_callers_own(name: str, side: str) -> None:
    optimizer = (optkit.get(name) if side == "optkit" else TORCH[name])(named())
    step(optimizer, 1)
    before = state_of(optimizer)
    saved = optimizer.state_dict()
    saved["state"].clear()
    saved["param_groups"][0]["params"].clear()
    saved["param_groups"][0]["lr"] = 7.0
    saved["param_groups"].clear()
    assert state_of(optimizer) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_deep_copy_is_a_snapshot(name: str) -> None:
    optimizer = stepped(name, named(), lr=torch.tensor(0.1))
    snapshot, twin = copy.deepcopy(optimizer.state_dict()), stepped(name, named(), steps=0)
    step(optimizer, 2)
    optimizer.param_groups[0]["lr"].fill_(0.7)
    twin.load_state_dict(snapshot)
    again = stepped(name, named(), lr=torch.tensor(0.1))
    assert repr(twin.state_dict()) == repr(again.state_dict())


def test_what_a_ring_overwrites_is_copied() -> None:
    optimizer = stepped("lbfgs", named())
    saved = optimizer.state_dict()
    assert addresses(saved["state"]).isdisjoint(addresses(list(optimizer.state.values())))
    kept = copy.deepcopy(saved)
    step(optimizer, 2)
    assert repr(saved) == repr(kept)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_written_from_the_live_tensors(name: str, tmp_path: Path) -> None:
    optimizer, seen = stepped(name, named()), []
    optimizer.register_state_dict_post_hook(lambda _, saved: seen.append(saved))
    optkit.save(optimizer, tmp_path / "file")
    assert addresses(seen[0]["state"]) == addresses(list(optimizer.state.values()))


@pytest.mark.parametrize("name", NAMES)
def test_optimizers_that_loaded_from_each_other_go_their_own_ways(name: str) -> None:
    one, other = stepped(name, named(), lr=torch.tensor(0.1)), stepped(name, named(), steps=1)
    other.load_state_dict(one.state_dict())
    assert addresses(live(one)).isdisjoint(addresses(live(other)))
    for moving, resting in ((one, other), (other, one)):
        before = state_of(resting)
        step(moving, 2)
        moving.param_groups[0]["lr"].mul_(0.5)
        assert state_of(resting) == before


@pytest.mark.parametrize("name", NAMES)
def test_what_was_loaded_outlives_its_source(name: str) -> None:
    source = stepped(name, named(), lr=torch.tensor(0.1))
    orphan, twin = stepped(name, named(), steps=1), stepped(name, named(), steps=1)
    twin.load_state_dict(copy.deepcopy(source.state_dict()))
    orphan.load_state_dict(source.state_dict())
    for state in source.state.values():
        for tensor in tensors(state):
            tensor.fill_(float("nan"))
    del source
    gc.collect()
    for optimizer in (orphan, twin):
        step(optimizer, 2)
    assert repr(orphan.state_dict()) == repr(twin.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_loading_ones_own_state_changes_nothing(name: str) -> None:
    optimizer, twin = stepped(name, named()), stepped(name, named())
    before = {key: dict(state) for key, state in optimizer.state.items()}
    optimizer.load_state_dict(optimizer.state_dict())
    assert repr(optimizer.state_dict()) == repr(twin.state_dict())
    if name in ELEMENTWISE:
        for key, state in before.items():
            assert all(optimizer.state[key][entry] is state[entry] for entry in state)
    step(optimizer, 2)
    step(twin, 2)
    assert repr(optimizer.state_dict()) == repr(twin.state_dict())


@pytest.mark.parametrize("kind", ["opaque", "joint"])
def test_lists_in_state_are_copied_when_they_are_loaded(kind: str) -> None:
    one, other = stepped("lbfgs", named()), stepped("lbfgs", named(), steps=0)
    saved = one.state_dict()
    key = {"opaque": "ro", "joint": "old_dirs"}[kind]
    other.load_state_dict(saved)
    (state,) = (own for own in other.state.values() if own)
    assert state[key] is not saved["state"][0][key]
    count = len(state[key])
    saved["state"][0][key].clear()
    assert len(state[key]) == count > 1
