"""torch's distributed checkpoint layer on one process: asking, saving, loading, continuing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from algorithms import ELEMENTWISE, NAMES, with_state
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

import optkit

# L-BFGS keeps its state with the first parameter, which torch's layer allows if told so.
PARTIAL = StateDictOptions(strict=False)


def problem() -> Any:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(9, 17), torch.nn.Tanh(), torch.nn.Linear(17, 1))


def train(model: Any, optimizer: Any, steps: int) -> None:
    inputs = torch.linspace(-1, 1, 90).reshape(10, 9)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(inputs).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def ends(model: Any) -> list[Any]:
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("lr", [0.1, "tensor"])
@pytest.mark.parametrize("name", NAMES)
def test_asking_before_the_first_step_changes_nothing(name: str, lr: Any) -> None:
    trajectories = []
    for ask in (False, True):
        model = problem()
        rate = torch.tensor(0.1) if lr == "tensor" else lr
        optimizer = optkit.create(name, model.named_parameters(), **with_state(name, lr=rate))
        steps: list[Any] = []
        optimizer.register_step_pre_hook(lambda *_, seen=steps: seen.append(1))
        if ask:
            saved = get_optimizer_state_dict(model, optimizer)
            assert saved["state"]
            assert not steps
            assert all(p.grad is None for p in model.parameters())
            assert optimizer.param_groups[0]["lr"] is rate
        train(model, optimizer, 3)
        trajectories.append(ends(model))
    assert all(map(torch.equal, *trajectories))


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_was_got_can_be_set_and_continues(name: str, flatten: bool) -> None:
    if flatten and name not in ELEMENTWISE:
        pytest.skip("torch flattens no state that is a list of tensors")
    options = StateDictOptions(strict=name in ELEMENTWISE, flatten_optimizer_state_dict=flatten)
    model = problem()
    optimizer = optkit.create(name, model.named_parameters(), lr=0.1)
    train(model, optimizer, 3)
    saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer, options=options))
    twin = copy.deepcopy(model)
    fresh = optkit.create(name, twin.named_parameters(), lr=0.7)
    set_optimizer_state_dict(twin, fresh, saved, options=options)
    train(model, optimizer, 3)
    train(twin, fresh, 3)
    assert all(map(torch.equal, ends(model), ends(twin)))
    assert fresh.param_groups[0]["lr"] == 0.1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_directory_of_checkpoint_shards_continues(name: str, tmp_path: Path) -> None:
    model = problem()
    optimizer = optkit.create(name, model.named_parameters(), lr=0.1)
    train(model, optimizer, 3)
    dcp.save({"optimizer": get_optimizer_state_dict(model, optimizer)}, checkpoint_id=tmp_path)
    twin = copy.deepcopy(model)
    fresh = optkit.create(name, twin.named_parameters(), lr=0.7)
    template = {"optimizer": get_optimizer_state_dict(twin, fresh)}
    dcp.load(template, checkpoint_id=tmp_path)
    set_optimizer_state_dict(twin, fresh, template["optimizer"])
    train(model, optimizer, 3)
    train(twin, fresh, 3)
    assert all(map(torch.equal, ends(model), ends(twin)))


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_init_state_is_no_step(name: str, implementation: str) -> None:
    trajectories = []
    for how in ("lazily", "on request", "eagerly"):
        model = problem()
        optimizer: Any = optkit.create(
            name,
            model.named_parameters(),
            implementation=implementation,
            eager_state=how == "eagerly",
            **with_state(name, lr=0.1),
        )
        assert len(optimizer.state) == (4 if how == "eagerly" else 0)
        if how == "on request":
            optimizer.init_state()
            before = {p: dict(state) for p, state in optimizer.state.items()}
            optimizer.init_state()
            for p, state in before.items():
                assert all(optimizer.state[p][key] is value for key, value in state.items())
        train(model, optimizer, 3)
        trajectories.append(ends(model))
    assert all(map(torch.equal, trajectories[0], trajectories[1]))
    assert all(map(torch.equal, trajectories[0], trajectories[2]))


@pytest.mark.parametrize("name", NAMES)
def test_init_state_keeps_what_exists_and_completes_it(name: str) -> None:
    model = problem()
    optimizer: Any = optkit.create(name, model.named_parameters())
    train(model, optimizer, 2)
    before = repr(optimizer.state_dict())
    optimizer.init_state()
    assert repr(optimizer.state_dict()) == before


def test_truth_of_the_state_dict_and_its_copies() -> None:
    model = problem()
    optimizer: Any = optkit.create("adamax", model.named_parameters())
    assert len(optimizer.state) == 0
    assert copy.deepcopy(optimizer).state
    assert len(optimizer.state) == 0
    assert optimizer.state
    assert len(optimizer.state) == 4
