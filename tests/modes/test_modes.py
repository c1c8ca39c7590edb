"""train() and eval(): where they are, what they change, and what they refuse."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS
from states import fingerprint

import optkit
from optkit_core import CompositeOptimizer, ModeError, WithModes, testing

WITH_MODES = [name for name, cls in ALGORITHMS.items() if issubclass(cls, WithModes)]
each_algorithm = pytest.mark.parametrize("name", WITH_MODES)
IMPLEMENTATIONS = ["forloop", "foreach", "fused"]


def problem() -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(9, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))


def train(model: Any, optimizer: Any, steps: int) -> None:
    inputs = torch.linspace(-1, 1, 90).reshape(10, 9)
    for _ in range(steps):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


def values(model: Any) -> list[Any]:
    return [p.detach().clone() for p in model.parameters()]


def are_same(one: Any, other: Any) -> bool:
    return all(map(torch.equal, one, other))


def test_only_algorithms_that_declare_modes_have_them() -> None:
    assert WITH_MODES == ["schedulefree_adamw", "schedulefree_sgd"]
    for name, cls in ALGORITHMS.items():
        assert hasattr(cls, "train") == hasattr(cls, "eval") == (name in WITH_MODES)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@each_algorithm
def test_eval_is_idempotent_and_train_undoes_it(name: str, implementation: str) -> None:
    model = problem()
    optimizer: Any = optkit.create(name, model.named_parameters(), implementation=implementation)
    train(model, optimizer, 5)
    trained, state = values(model), copy.deepcopy(optimizer.state_dict()["state"])
    optimizer.train()
    assert are_same(trained, values(model))
    optimizer.eval()
    evaluated = values(model)
    optimizer.eval()
    assert are_same(evaluated, values(model))
    assert not any(map(torch.equal, trained, evaluated))
    optimizer.train()
    testing.assert_agree(trained, values(model))
    assert fingerprint(optimizer.state_dict()["state"]) == fingerprint(state)


@pytest.mark.parametrize("is_compiled", [False, True])
@each_algorithm
def test_a_step_in_eval_mode_is_refused_before_anything_happens(
    name: str, is_compiled: bool
) -> None:
    model = problem()
    optimizer: Any = optkit.create(name, model.named_parameters(), implementation="foreach")
    train(model, optimizer, 2)
    optimizer.eval()
    before = fingerprint([values(model), optimizer.state_dict()])
    step = torch.compile(optimizer.step, backend="eager") if is_compiled else optimizer.step
    with pytest.raises(ModeError, match=r"group 0 of \w+ is in eval mode; call optimizer.train\("):
        step()
    assert fingerprint([values(model), optimizer.state_dict()]) == before
    optimizer.train()
    train(model, optimizer, 1)


@each_algorithm
def test_the_closure_isnt_called_in_eval_mode(name: str) -> None:
    optimizer: Any = optkit.create(name, [torch.ones(2)])
    optimizer.eval()
    with pytest.raises(ModeError):
        optimizer.step(lambda: pytest.fail("called"))


@each_algorithm
def test_each_group_has_its_mode(name: str) -> None:
    model = problem()
    optimizer: Any = optkit.create(name, model[0].named_parameters(prefix="0"))
    train(model, optimizer, 3)
    optimizer.eval()
    optimizer.add_param_group({"params": model[2].named_parameters(prefix="2")})
    evaluated = values(model)
    assert [group["train_mode"] for group in optimizer.param_groups] == [False, True]
    with pytest.raises(ModeError, match="group 0"):
        optimizer.step()
    optimizer.train()
    train(model, optimizer, 3)
    trained = values(model)
    optimizer.param_groups[0]["train_mode"] = False  # as if only the other one were to switch
    optimizer.eval()
    kept = values(model[0])
    assert are_same(trained[:2], kept) and not are_same(trained[2:], values(model[2]))
    assert not are_same(evaluated, trained)


@each_algorithm
def test_parameters_that_havent_stepped_stay(name: str) -> None:
    model = problem()
    optimizer: Any = optkit.create(name, model.named_parameters(), eager_state=True)
    start = values(model)
    optimizer.eval()
    optimizer.train()
    assert are_same(start, values(model))
    model[2].requires_grad_(False)
    train(model, optimizer, 3)
    optimizer.eval()
    assert are_same(start[2:], values(model[2]))


@each_algorithm
def test_it_may_start_in_eval_mode_as_in_the_authors_package(name: str) -> None:
    model = problem()
    optimizer: Any = optkit.create(name, model.named_parameters(), train_mode=False)
    with pytest.raises(ModeError, match="Optimizer was not in train mode when step is called"):
        optimizer.step()
    optimizer.train()
    train(model, optimizer, 1)


CARRIERS: dict[str, Callable[[Any], Any]] = {
    "deep copy": copy.deepcopy,
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
}


def reloaded(pair: Any) -> Any:
    model, optimizer = pair
    twin = copy.deepcopy(model)
    other = type(optimizer)(twin.named_parameters())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return twin, other


@pytest.mark.parametrize("carry", [*CARRIERS.values(), reloaded], ids=[*CARRIERS, "checkpoint"])
@each_algorithm
def test_copies_and_checkpoints_keep_the_mode(name: str, carry: Callable[[Any], Any]) -> None:
    model = problem()
    optimizer: Any = optkit.create(name, model.named_parameters())
    train(model, optimizer, 3)
    optimizer.eval()
    twin, other = carry((model, optimizer))
    with pytest.raises(ModeError):
        other.step()
    for one in (optimizer, other):
        one.train()
    train(model, optimizer, 2)
    train(twin, other, 2)
    assert are_same(values(model), values(twin))


def test_in_a_composite_the_members_with_modes_switch() -> None:
    model = problem()
    groups = [
        {"params": model[0].named_parameters(prefix="0")},
        {"params": model[2].named_parameters(prefix="2"), "algorithm": "schedulefree_sgd"},
    ]
    optimizer = optkit.create("adamax", groups)
    assert isinstance(optimizer, CompositeOptimizer)
    train(model, optimizer, 3)
    trained = values(model)
    optimizer.eval()
    assert are_same(trained[:2], values(model[0])) and not are_same(trained[2:], values(model[2]))
    assert "train_mode" not in optimizer.param_groups[0]
    evaluated = values(model)
    with pytest.raises(ModeError, match=r"call optimizer\.train"):
        optimizer.step(lambda: pytest.fail("called"))
    assert are_same(evaluated, values(model))
    optimizer.train()
    testing.assert_agree(trained, values(model))
    train(model, optimizer, 1)
