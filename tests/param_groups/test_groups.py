"""Parameter groups: torch's promises, and the faults of torch that fail here by name."""

from __future__ import annotations

import inspect
import re
from collections import UserDict, UserList
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from algorithms import TORCH, declared

import optkit
from optkit import HyperparameterError
from optkit_core import GroupError, OptkitError, ParametersError


def parameter(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(*shape))


BAD_GROUPS = [
    ("adamax", {"lrr": 3}, ["'lrr'", "lrr=3", "'lr'"]),
    ("adamax", {"lr": -3}, ["lr must be in [0, inf)", "-3"]),
    ("adamax", {"betas": (0.9, 2.0)}, ["betas[1] must be in [0, 1)", "2.0"]),
    ("adamax", {"betas": 0.9}, ["betas must be 2 values", "0.9"]),
    ("adamax", {"betas": (0.9,)}, ["betas must be 2 values", "(0.9,)"]),
    ("adamax", {"eps": float("nan")}, ["eps must be in [0, inf)", "nan"]),
    ("adamax", {"weight_decay": "big"}, ["weight_decay must be a number", "'big'"]),
    ("adamax", {"lr": None}, ["lr must be a number", "None"]),
    ("adamax", {"lr": torch.ones(2)}, ["lr must be", "(2,)"]),
    ("adamax", {"lr": torch.tensor(1 + 1j)}, ["lr must be a real number in [0, inf)", "1.+1.j"]),
    ("adamax", {"lr": torch.ones(1, device="meta")}, ["lr must be a real number", "meta"]),
    ("adamax", {"maximize": "yes"}, ["maximize must be True or False", "'yes'"]),
    ("adagrad", {"initial_accumulator_value": -1}, ["initial_accumulator_value must be", "-1"]),
    ("adagrad", {"lr_decay": -0.5}, ["lr_decay must be in [0, inf)", "-0.5"]),
    ("adagrad", {"lr_dacay": 0.1}, ["'lr_dacay'", "lr_dacay=0.1", "'lr_decay'"]),
]


@pytest.mark.parametrize(("name", "wrong", "words"), BAD_GROUPS, ids=str)
@pytest.mark.parametrize("way", ["constructor", "group", "add_param_group"])
def test_wrong_values_fail_by_name(name: str, wrong: Any, words: list[str], way: str) -> None:
    make, p = optkit.get(name), parameter(3)
    with pytest.raises(HyperparameterError) as raised:
        if way == "constructor":
            make([p], **wrong)
        elif way == "group":
            make([{"params": [p], **wrong}])
        else:
            make([parameter(2)]).add_param_group({"params": [p], **wrong})
    for word in words:
        assert word in str(raised.value)
    assert isinstance(raised.value, OptkitError)


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize(
    "group",
    [
        {"lrr": 3},
        {"lr": -1.0},
        {"params": "weights"},
        {"params": {parameter(2)}},
        {"params": [parameter(2), 3]},
        {"params": [("a", parameter(2))]},
    ],
)
def test_a_refused_group_leaves_everything_as_it_was(name: str, group: Any) -> None:
    first = parameter(3)
    optimizer = optkit.create(name, [first])
    group = {"params": [parameter(4)], **group}
    before = dict(group)
    with pytest.raises((OptkitError, TypeError, ValueError)):
        optimizer.add_param_group(group)
    assert group == before
    assert len(optimizer.param_groups) == 1
    assert set(optimizer.state) <= {first}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (torch.nn.Linear(2, 2), "pass its named_parameters()"),
        ({"params": [parameter(2)]}, "put the group in a list"),
        (None, "NoneType"),
        (3.0, "float"),
        ("weights", "str"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_iterable_of_parameters(params: Any, words: str) -> None:
    with pytest.raises(ParametersError, match=re.escape(words)):
        optkit.create("adamax", params)


def test_empty_and_unpaired_arguments() -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        optkit.create("adamax", [])
    with pytest.raises(GroupError, match="needs 'params'"):
        optkit.create("adamax", [{"lr": 0.1}])
    with pytest.raises(ParametersError, match="twice"):
        optkit.get("adamax")([parameter(2)], 0.1, lr=0.2)
    with pytest.raises(ParametersError, match="at most 6 positional"):
        optkit.get("adamax")([parameter(2)], 0.1, (0.9, 0.9), 1e-8, 0.0, None, False)
    with pytest.raises(ParametersError, match="needs params"):
        optkit.get("adamax")(lr=0.1)
    with pytest.raises(ValueError, match="non-leaf"):
        optkit.create("adamax", [parameter(2) * 2])


OTHER_VALUES = {"etas": (0.3, 1.7), "nesterov": False}
"""Those of hyperparameters that don't go with any value of the others."""


def other_value(name: str, default: Any, i: int) -> Any:
    """Return a value that is no default and no neighbor's: in [0, 1), or a flag."""
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    if isinstance(default, tuple):
        return tuple(0.09 * (i + 1) + 0.01 * k for k in range(len(default)))
    if default is None or isinstance(default, bool):
        return default is False
    return 0.09 * (i + 1)


@pytest.mark.parametrize("name", TORCH)
def test_arguments_come_in_torchs_order(name: str) -> None:
    arguments = list(inspect.signature(TORCH[name]).parameters.values())[1:]
    by_position = [a for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
    values = [other_value(a.name, a.default, i) for i, a in enumerate(by_position)]
    ours = optkit.get(name)([parameter(2)], *values).param_groups[0]
    theirs = TORCH[name]([parameter(2)], *values).param_groups[0]
    assert {key: ours[key] for key in theirs if key != "params"} == {
        key: value for key, value in theirs.items() if key != "params"
    }


@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_the_groups_own_initial_accumulator_value_counts(implementation: str) -> None:
    """Of groups given at once and of one added later, which torch 2.11 can't step at all."""
    groups = [{"params": [parameter(3)], "initial_accumulator_value": v} for v in (0.0, 0.5, 2.0)]
    optimizer = optkit.get("adagrad")(groups[:2], foreach=implementation == "foreach")
    optimizer.add_param_group(groups[2])
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.zeros(3)
    optimizer.step()
    sums = [optimizer.state[g["params"][0]]["sum"][0] for g in optimizer.param_groups]
    assert sums == [0.0, 0.5, 2.0]


@pytest.mark.parametrize("name", TORCH)
def test_group_options_override_and_follow_changes(name: str) -> None:
    params = [[torch.nn.Parameter(torch.ones(40)) for _ in range(2)] for _ in range(2)]
    optimizers = []
    for cls, (p, q) in zip((optkit.get(name), TORCH[name]), params, strict=True):
        groups = [{"params": p, "lr": 0.5}, {"params": [q], **declared(name, weight_decay=0.3)}]
        optimizer = cls(groups, lr=0.1, foreach=False)
        optimizers.append(optimizer)
        for step in range(6):
            p.grad, q.grad = torch.full((40,), step - 2.0), torch.full((40,), 1.0 + step)
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= 0.5
    for mine, theirs in zip(*params, strict=True):
        assert torch.equal(mine, theirs)


def test_named_parameters_keep_their_names() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    optimizer = optkit.create("adamax", model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == [n for n, _ in model.named_parameters()]
    assert optimizer.state_dict()["param_groups"][0]["param_names"][0] == "0.weight"


def test_a_group_is_stored_as_the_dict_that_was_given() -> None:
    group = {"params": [parameter(3)], "name": "decoder", "initial_lr": 0.3}
    optimizer = optkit.create("adamax", [group])
    assert optimizer.param_groups[0] is group
    assert optimizer.param_groups[0]["name"] == "decoder"


@pytest.mark.parametrize("algorithm", ["adamax", "torch-sgd"])
def test_groups_and_pairs_of_configuration_libraries_are_taken(
    algorithm: str, registered: Any
) -> None:
    registered("torch-sgd", torch.optim.SGD)
    one, two, three = parameter(2), parameter(3), parameter(1)
    group = {"params": UserList([["one", one], ["two", two]]), "lr": 0.5}
    other = MappingProxyType({"params": [("three", three)]})
    optimizer = optkit.create(algorithm, params=UserList([UserDict(group), other]), lr=0.1)
    first, second = optimizer.param_groups
    assert first["params"][1] is two and second["params"][0] is three
    assert (first["param_names"], first["lr"], second["lr"]) == (["one", "two"], 0.5, 0.1)
    pairs = optkit.create(algorithm, [["one", one], ["two", two]], lr=0.1)
    assert pairs.param_groups[0]["param_names"] == ["one", "two"]


def test_a_group_in_another_mapping_names_its_algorithm() -> None:
    groups = [UserDict(params=[parameter(2)], algorithm="adagrad"), {"params": [parameter(3)]}]
    optimizer = optkit.create("adamax", groups)
    assert list(optimizer.members) == [groups[0]["algorithm"], "adamax"]


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("implementation", ["forloop", "foreach"])
def test_zero_grad(implementation: str, set_to_none: bool) -> None:
    p = parameter(3)
    p.grad = torch.ones(3)
    optkit.create("adamax", [p], implementation=implementation).zero_grad(set_to_none)
    assert p.grad is None if set_to_none else torch.equal(p.grad, torch.zeros(3))


@pytest.mark.parametrize("name", TORCH)
def test_adding_a_group_trains_it(name: str) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = optkit.create(name, [model.weight], lr=0.1)
    optimizer.add_param_group({"params": model.bias, "lr": 0.2})
    before = model.bias.detach().clone()
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    alone = torch.nn.Parameter(before.clone())
    alone.grad = torch.ones(2)
    optkit.create(name, [alone], lr=0.2).step()
    assert torch.equal(model.bias, alone) and not torch.equal(alone, before)


def test_a_sparse_gradient_is_refused_by_adamax_before_anything_moves() -> None:
    dense, sparse = parameter(4), parameter(4)
    optimizer = optkit.create("adamax", [sparse, dense])
    dense.grad, sparse.grad = torch.ones(4), torch.ones(4).to_sparse()
    before = [dense.detach().clone(), sparse.detach().clone()]
    with pytest.raises(RuntimeError, match="Adamax does not support sparse gradients"):
        optimizer.step()
    assert torch.equal(dense, before[0])
    assert torch.equal(sparse, before[1])


def test_sparse_gradients_and_weight_decay_dont_mix() -> None:
    p = parameter(4)
    optimizer = optkit.create("adagrad", [p], weight_decay=0.1)
    p.grad = torch.ones(4).to_sparse()
    with pytest.raises(RuntimeError, match="not compatible with sparse gradients"):
        optimizer.step()


@pytest.mark.parametrize("group", [3, [], "params"], ids=repr)
def test_a_group_that_is_no_dict_is_refused(group: Any) -> None:
    optimizer = optkit.create("adamax", [parameter(2)])
    with pytest.raises(ParametersError, match="param_group must be a dict, but got"):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ([parameter(2), 3], TypeError, ["params[1]", "optimizer can only optimize Tensors"]),
        (["a"], TypeError, ["params[0]", "'a'"]),
        ([parameter(2) * 2], ValueError, ["params[0]", "can't optimize a non-leaf Tensor"]),
        ({parameter(2)}, TypeError, ["set", "ordered collections"]),
        ([], ValueError, ["optimizer got an empty parameter list"]),
        ({"weight": parameter(2)}, TypeError, ["pass its items()"]),
        ([{"params": torch.nn.Linear(2, 2)}], TypeError, ["pass its named_parameters()"]),
        ([{"params": 3}], TypeError, ["int"]),
    ],
)
def test_a_wrong_entry_is_named(params: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as raised:
        optkit.create("adamax", params)
    assert isinstance(raised.value, OptkitError)
    for word in words:
        assert word in str(raised.value)


def test_a_failed_constructor_gives_the_groups_back_as_they_were() -> None:
    groups = [{"params": [parameter(2)]}, {"params": [parameter(2)], "lr": -1.0}]
    before = [dict(group) for group in groups]
    with pytest.raises(HyperparameterError):
        optkit.create("adamax", groups, lr=0.1)
    assert groups == before


@pytest.mark.parametrize("value", [1, True, np.bool_(True)], ids=repr)
def test_booleans_of_any_kind(value: Any) -> None:
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.ones(3)
    optkit.create("adamax", [p], lr=np.float32(0.5), maximize=value).step()
    assert torch.equal(p, torch.full((3,), 0.5))


@pytest.mark.parametrize("lr", [np.array(0.5), np.float64(0.5), Fraction(1, 2), 1], ids=repr)
def test_numbers_of_any_kind(lr: Any) -> None:
    optkit.create("adamax", [parameter(2)], lr=lr, betas=np.array([0.9, 0.99]))


@pytest.mark.parametrize("name", TORCH)
def test_groups_made_by_torch_run(name: str) -> None:
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.ones(3)
    optimizer = optkit.create(name, [p])
    optimizer.param_groups = TORCH[name]([p], lr=0.5).param_groups
    optimizer.step()
    alone = torch.nn.Parameter(torch.zeros(3))
    alone.grad = torch.ones(3)
    TORCH[name]([alone], lr=0.5).step()
    torch.testing.assert_close(p, alone)
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("dense_first", [True, False])
def test_a_refused_step_moves_nothing_at_all(dense_first: bool) -> None:
    dense, sparse = parameter(4), parameter(4)
    dense.grad, sparse.grad = torch.ones(4), torch.ones(4).to_sparse()
    params = [dense, sparse] if dense_first else [sparse, dense]
    before = [p.detach().clone() for p in params]
    optimizer = optkit.create("adagrad", [{"params": p} for p in params], weight_decay=0.1)
    with pytest.raises(RuntimeError, match="not compatible with sparse gradients"):
        optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))
    assert all(state["step"] == 0 for state in optimizer.state.values())


def test_a_group_that_cant_be_captured_stops_the_whole_step() -> None:
    first, second = parameter(3), parameter(3)
    first.grad = second.grad = torch.ones(3)
    before = first.detach().clone()
    groups = [{"params": [first]}, {"params": [second], "capturable": True}]
    with pytest.raises(RuntimeError, match="capturable=True needs"):
        optkit.create("adamax", groups).step()
    assert torch.equal(first, before)
