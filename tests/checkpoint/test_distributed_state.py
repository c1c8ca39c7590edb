"""torch's distributed checkpoint layer on one process: asking, saving, loading, continuing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from algorithms import ALGORITHMS, ELEMENTWISE, NAMES, SPARSE_ONLY, with_state
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

import optkit
from optkit_core.body_optimizer import BodyOptimizer
from optkit_core.errors import CheckpointError

BODIES = [name for name, cls in ALGORITHMS.items() if issubclass(cls, BodyOptimizer)]


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
    options = StateDictOptions(flatten_optimizer_state_dict=flatten)
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
@pytest.mark.parametrize("name", NAMES)
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


def keys(saved: Any) -> dict[str, list[str]]:
    """Return the entries of each parameter in distributed state, with their shapes."""
    return {
        name: sorted(f"{key} {getattr(value, 'shape', '')}" for key, value in own.items())
        for name, own in saved["state"].items()
    }


@pytest.mark.parametrize("name", ALGORITHMS)
def test_state_is_complete_whatever_had_a_gradient(name: str) -> None:
    found = []
    for seen in ((), (0,), (0, 2)):
        torch.manual_seed(0)
        model = torch.nn.ParameterDict({f"p{i}": torch.randn(4, 3) for i in range(3)})
        model["p1"].requires_grad_(False)
        optimizer = optkit.create(name, model.named_parameters(), **with_state(name))
        for index in seen:
            gradient = torch.ones(4, 3)
            model[f"p{index}"].grad = gradient.to_sparse(1) if name in SPARSE_ONLY else gradient
        if seen:
            optimizer.step((lambda: torch.ones(())) if name not in BODIES else None)
        found.append(keys(get_optimizer_state_dict(model, optimizer)))
    assert found[0].keys() == {"p0", "p1", "p2"}
    assert all(found[0].values())
    assert found[0] == found[1] == found[2]


def of_three(name: str, order: str, cut: int = 0) -> tuple[Any, Any]:
    """Return a model of three alike parameters, and an optimizer of one group or of two."""
    model = torch.nn.ParameterDict({key: torch.zeros(3) for key in "abc"})
    named = [(key, model[key]) for key in order]
    groups = [{"params": part} for part in (named[:cut], named[cut:]) if part]
    return model, optkit.create(name, groups, lr=0.1)


def sized(model: Any) -> None:
    """Give each parameter another gradient."""
    for size, key in enumerate("abc", start=1):
        model[key].grad = torch.full((3,), float(size))


@pytest.mark.parametrize(
    ("flatten", "cuts"), [(False, (0, 0)), (False, (1, 0)), (True, (0, 1)), (True, (1, 2))]
)
def test_each_parameter_keeps_its_state_in_other_groups(
    flatten: bool, cuts: tuple[int, int]
) -> None:
    options = StateDictOptions(flatten_optimizer_state_dict=flatten)
    model, optimizer = of_three("adam", "cba", cuts[0])
    sized(model)
    optimizer.step()
    saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer, options=options))
    twin, fresh = of_three("adam", "abc", cuts[1])
    set_optimizer_state_dict(twin, fresh, saved, options=options)
    for key in "abc":
        assert torch.equal(
            fresh.state[twin[key]]["exp_avg"], optimizer.state[model[key]]["exp_avg"]
        )


def test_options_that_torch_gave_to_another_group_are_missed() -> None:
    saved = copy.deepcopy(get_optimizer_state_dict(*of_three("adam", "abc")))
    model, optimizer = of_three("adam", "abc", 1)
    with pytest.raises(CheckpointError, match="flatten_optimizer_state_dict=True"):
        set_optimizer_state_dict(model, optimizer, saved)


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("other", ["adamw", "radam"])
def test_another_algorithm_is_refused(other: str, flatten: bool) -> None:
    options = StateDictOptions(flatten_optimizer_state_dict=flatten)
    model, optimizer = of_three("adam", "abc")
    sized(model)
    optimizer.step()
    saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer, options=options))
    twin, fresh = of_three(other, "abc")
    before = copy.deepcopy(get_optimizer_state_dict(twin, fresh))
    with pytest.raises(CheckpointError, match="adam/1"):
        set_optimizer_state_dict(twin, fresh, saved, options=options)
    assert str(get_optimizer_state_dict(twin, fresh)) == str(before)


@pytest.mark.parametrize("how", ["asked", "set", "loaded", "copied"])
@pytest.mark.parametrize("implementation", ["forloop", "foreach", "fused"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_a_buffer_still_starts_from_the_first_gradient(
    how: str, implementation: str, dtype: torch.dtype
) -> None:
    ends_of = []
    for is_touched in (False, True):
        torch.manual_seed(0)
        model = torch.nn.ParameterDict({key: torch.randn(5, dtype=dtype) for key in "ab"})
        made = {"momentum": 0.9, "dampening": 0.5, "implementation": implementation}
        optimizer: Any = optkit.create("sgd", model.named_parameters(), lr=0.1, **made)
        for step in range(4):
            model["a"].grad = torch.randn(5, dtype=dtype)
            model["b"].grad = torch.randn(5, dtype=dtype) if step > 1 else None
            if is_touched:
                optimizer = touched(how, model, optimizer)
            optimizer.step()
        ends_of.append(ends(model))
    assert all(map(torch.equal, *ends_of))


def touched(how: str, model: Any, optimizer: Any) -> Any:
    """Let somebody ask for the state, or take it somewhere and back."""
    saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    if how == "set":
        set_optimizer_state_dict(model, optimizer, saved)
    elif how == "loaded":
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    elif how == "copied":
        params = {id(p): p for p in model.values()}
        return copy.deepcopy(optimizer, params)
    return optimizer


def test_lbfgs_goes_on_with_its_history() -> None:
    made: dict[str, Any] = {"max_iter": 2, "history_size": 3, "line_search_fn": "hager_zhang"}
    model = problem()
    optimizer = optkit.create("lbfgs", model.named_parameters(), **made)
    train(model, optimizer, 3)
    saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    assert int(saved["state"]["0.weight"]["pairs"]) == 3
    weights = copy.deepcopy(model.state_dict())
    train(model, optimizer, 3)
    twin = problem()
    fresh = optkit.create("lbfgs", twin.named_parameters(), **made)
    set_optimizer_state_dict(twin, fresh, saved)
    twin.load_state_dict(weights)  # after the optimizer
    train(twin, fresh, 3)
    assert all(map(torch.equal, ends(model), ends(twin)))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("old_stps_2", None, "no old_stps_2"),
        ("old_dirs_0", torch.ones(2), r"old_dirs_0 of 0.weight has shape \[2\]"),
        ("curvatures", -torch.ones(3), "curvatures must be positive"),
        ("pairs", 4, "pairs must be a whole number up to 3"),
        ("H_diag", "1", "H_diag must be a number"),
        ("squares", torch.ones(2, 2), "squares must be a tensor"),
    ],
)
def test_a_wrong_history_is_refused_whole(key: str, value: Any, words: str) -> None:
    model = problem()
    optimizer = optkit.create("lbfgs", model.named_parameters(), max_iter=2, history_size=3)
    train(model, optimizer, 3)
    before = get_optimizer_state_dict(model, optimizer)
    saved = copy.deepcopy(before)
    first = saved["state"]["0.weight"]
    first |= {key: value}
    if value is None:
        del first[key]
    with pytest.raises(CheckpointError, match=words):
        optimizer.load_state_dict(saved)
    assert str(get_optimizer_state_dict(model, optimizer)) == str(before)


def test_after_an_answer_a_state_dict_is_torchs_again() -> None:
    model = problem()
    optimizer = optkit.create("lbfgs", model.named_parameters(), max_iter=2, history_size=3)
    train(model, optimizer, 3)
    plain = str(optimizer.state_dict())
    get_optimizer_state_dict(model, optimizer)
    assert str(optimizer.state_dict()) == plain
    assert set(optimizer.state_dict()["state"]) == {0}
