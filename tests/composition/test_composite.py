"""Several algorithms as one optimizer: what it does is what each of them does alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from algorithms import ELEMENTWISE
from states import fingerprint
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import lr_scheduler

import optkit
from optkit.cli import main
from optkit_core import (
    CheckpointError,
    CompositeOptimizer,
    GradientError,
    GroupError,
    HyperparameterError,
    ImplementationError,
    UnknownAlgorithmError,
    UnknownHyperparameterError,
    UnusedGroupKeyWarning,
    hookimpl,
    register_plugin,
    unregister_plugin,
)

DENSE = [name for name, cls in ELEMENTWISE.items() if cls is not optkit.get("sparseadam")]
PAIRS = list(pairwise([*DENSE, DENSE[0]]))
"""Each algorithm that takes dense gradients beside another one."""

each_pair = pytest.mark.parametrize(("first", "second"), PAIRS)


def problem() -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(9, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))


def named(model: Any, layer: int) -> list[tuple[str, Any]]:
    return [(f"{layer}.{name}", p) for name, p in model[layer].named_parameters()]


def composite(model: Any, first: str = "adagrad", second: str = "adamax", **options: Any) -> Any:
    """Return an optimizer whose second group names its algorithm."""
    groups = [
        {"params": named(model, 0), "lr": 0.1},
        {"params": named(model, 2), "algorithm": second, "lr": 0.02},
    ]
    return optkit.create(first, groups, **options)


def loss_of(model: Any, optimizer: Any) -> Callable[[], Any]:
    inputs = torch.linspace(-1, 1, 90).reshape(10, 9)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(inputs).square().mean()
        loss.backward()
        return loss

    return closure


def train(model: Any, optimizer: Any, steps: int) -> None:
    for _ in range(steps):
        optimizer.step(loss_of(model, optimizer))


def values(model: Any) -> list[Any]:
    return [p.detach().clone() for p in model.parameters()]


def assert_same(one: Any, other: Any) -> None:
    assert all(map(torch.equal, values(one), values(other)))


@pytest.mark.parametrize("implementation", ["auto", "forloop", "foreach"])
@each_pair
def test_each_group_steps_as_its_algorithm_does_alone(
    first: str, second: str, implementation: str
) -> None:
    model, twin = problem(), problem()
    optimizer = composite(model, first, second, implementation=implementation)
    alone = [
        optkit.create(first, named(twin, 0), lr=0.1, implementation=implementation),
        optkit.create(second, named(twin, 2), lr=0.02, implementation=implementation),
    ]
    for _ in range(5):
        train(model, optimizer, 1)
        loss_of(twin, alone[0])()
        for part in alone:
            part.step()
            part.zero_grad()
    assert_same(model, twin)
    assert isinstance(optimizer, CompositeOptimizer)
    assert isinstance(optimizer, optkit.OptimizerProtocol)


def test_defaults_are_those_of_each_groups_algorithm() -> None:
    optimizer = composite(problem(), lr_decay=0.5, maximize=True)
    first, second = optimizer.param_groups
    assert first["algorithm"] == "adagrad" and second["algorithm"] == "adamax"
    assert (first["lr_decay"], first["eps"], second["eps"]) == (0.5, 1e-10, 1e-8)
    assert "lr_decay" not in second and "betas" not in first
    assert first["maximize"] and second["maximize"]  # an option holds for all
    assert optimizer.defaults["lr_decay"] == 0.5


@pytest.mark.parametrize("name", ["Ada-Max", "optkit:adamax", "ADA_MAX"])
def test_names_are_found_as_everywhere(name: str) -> None:
    assert composite(problem(), second=name).param_groups[1]["algorithm"] in (
        "adamax",
        "optkit:adamax",
    )


def test_groups_may_come_one_by_one_and_from_a_generator() -> None:
    model = problem()
    groups = [{"params": named(model, 0)}, {"params": named(model, 2), "algorithm": "adamax"}]
    optimizer = optkit.create("adagrad", (group for group in groups))
    extra = torch.nn.Parameter(torch.ones(3))
    optimizer.add_param_group({"params": [("extra", extra)], "algorithm": "adamax", "lr": 0.5})
    extra.grad = torch.ones(3)
    optimizer.step()
    assert optimizer.param_groups[2]["lr"] == 0.5
    assert torch.equal(extra, torch.full((3,), 0.5))


def test_one_algorithm_throughout_is_that_algorithm() -> None:
    params = [torch.nn.Parameter(torch.ones(2))]
    optimizer = optkit.create("adamax", [{"params": params, "algorithm": "Adamax"}])
    assert type(optimizer) is optkit.Adamax


@pytest.mark.parametrize(
    ("group", "error", "words"),
    [
        ({"lrr": 0.1}, UnknownHyperparameterError, "group of Adamax takes no 'lrr'"),
        ({"betas": (0.9, 1.2)}, HyperparameterError, r"betas\[1\] must be in"),
        ({"lr": -1.0}, HyperparameterError, "lr must be"),
        ({"implementation": "quick"}, HyperparameterError, "implementation must be"),
        ({"algorithm": "adamx"}, UnknownAlgorithmError, "Did you mean 'adamax'"),
        ({"algorithm": "lbfgs"}, GroupError, "by a closure"),
        ({"params": 3}, TypeError, "must be tensors"),
    ],
)
def test_a_wrong_group_is_refused_by_its_algorithm(
    group: dict[str, Any], error: type[Exception], words: str
) -> None:
    model = problem()
    optimizer = composite(model)
    given = {"params": [("x", torch.nn.Parameter(torch.ones(2)))], "algorithm": "adamax", **group}
    before = dict(given)
    with pytest.raises(error, match=words):
        optimizer.add_param_group(given)
    assert given == before
    assert len(optimizer.param_groups) == 2
    with pytest.raises(error, match=words):
        optkit.create("adagrad", [{"params": named(model, 0)}, given])


def test_what_an_algorithm_doesnt_declare_is_an_annotation_in_its_groups() -> None:
    with pytest.warns(UnusedGroupKeyWarning, match="'lr_decay', which Adamax"):
        optkit.create(
            "adagrad",
            [
                {"params": [torch.ones(2)]},
                {"params": [torch.ones(2)], "algorithm": "adamax", "lr_decay": 0.1},
            ],
        )


def test_a_parameter_is_in_one_group_and_all_or_none_have_names() -> None:
    model = problem()
    optimizer = composite(model)
    for layer in (0, 2):
        with pytest.raises(GroupError, match="more than one parameter group"):
            optimizer.add_param_group({"params": named(model, layer), "algorithm": "adamax"})
    with pytest.raises(GroupError, match="with/without names"):
        optimizer.add_param_group({"params": [torch.ones(2)], "algorithm": "adamax"})


def test_memory_that_two_algorithms_would_update_is_refused() -> None:
    whole = torch.zeros(4)
    one, other = whole[:3], whole[2:]
    optimizer = optkit.create(
        "adagrad", [{"params": [one]}, {"params": [other], "algorithm": "adamax"}]
    )
    one.grad, other.grad = torch.ones(3), torch.ones(2)
    with pytest.raises(GroupError, match="share memory"):
        optimizer.step()


def test_a_plain_optimizer_takes_no_group_of_another_algorithm() -> None:
    groups = [{"params": [torch.ones(2)], "algorithm": "adamax"}]
    with pytest.raises(GroupError, match="is of Adagrad alone"):
        optkit.Adagrad(groups)
    assert optkit.Adamax(groups).param_groups[0]["lr"] == 0.002


def test_an_optimizer_that_isnt_of_optkit_cant_be_a_member(
    registered: Callable[[str, type], None],
) -> None:
    registered("torch-sgd", torch.optim.SGD)
    with pytest.raises(GroupError, match=r"torch.optim.sgd.SGD, which isn't of optkit"):
        composite(problem(), second="torch-sgd")
    with pytest.raises(GroupError, match="isn't of optkit"):
        composite(problem(), first="torch-sgd")


def test_an_implementation_is_asked_of_every_algorithm() -> None:
    optimizer = composite(problem(), implementation="foreach")
    assert {bucket.implementation for bucket in optimizer.explain().buckets} == {"foreach"}
    with pytest.raises(ImplementationError):
        composite(problem(), implementation="foreach", differentiable=True)


def test_explain_and_plan_tell_of_every_algorithm() -> None:
    model = problem()
    optimizer = composite(model, implementation="forloop")
    explanation = optimizer.explain()
    assert [(b.groups, b.algorithm) for b in explanation.buckets] == [
        ((0,), "Adagrad"),
        ((1,), "Adamax"),
    ]
    lines = str(explanation).splitlines()
    assert lines[0].startswith("Adagrad and Adamax, as the argument implementation= has it")
    assert lines[1].split()[:2] == ["group", "algorithm"]
    assert lines[3].split()[:2] == ["1", "Adamax"]
    assert len(optimizer.plan) == 2


def test_schedulers_drive_all_groups() -> None:
    model = problem()
    optimizer = composite(model)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    twin = problem()
    other = composite(twin)
    for epoch in range(4):
        train(model, optimizer, 1)
        schedule.step()
        for group, lr in zip(other.param_groups, (0.1, 0.02), strict=True):
            group["lr"] = lr * 0.5**epoch
        train(twin, other, 1)
    assert_same(model, twin)
    assert schedule.get_last_lr() == [0.1 / 16, 0.02 / 16]


def test_a_value_that_a_member_refuses_is_refused_before_anything_changes() -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 1)
    before = values(model)
    loss_of(model, optimizer)()
    optimizer.param_groups[1]["lr"] = -1.0
    with pytest.raises(HyperparameterError, match="lr must be"):
        optimizer.step()
    optimizer.param_groups[1]["lr"] = 0.02
    last = model[2].weight
    last.grad = last.grad.to_sparse()
    with pytest.raises(GradientError, match="sparse"):
        optimizer.step()
    assert all(map(torch.equal, before, values(model)))


def test_no_buffer_begins_where_another_member_refuses() -> None:
    model = problem()
    groups = [
        {"params": named(model, 0), "momentum": 0.9},
        {"params": named(model, 2), "algorithm": "adamax"},
    ]
    optimizer = optkit.create("sgd", groups)
    loss_of(model, optimizer)()
    optimizer.param_groups[1]["lr"] = -1.0
    with pytest.raises(HyperparameterError):
        optimizer.step()
    assert not optimizer.state.get(model[0].weight)


@pytest.mark.parametrize("is_finite", [True, False])
def test_a_grad_scaler_unscales_and_skips_for_all(is_finite: bool) -> None:
    model, twin = problem(), problem()
    optimizer, other = composite(model), composite(twin)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    inputs = torch.linspace(-1, 1, 90).reshape(10, 9)
    scaler.scale(model(inputs).square().mean()).backward()
    if not is_finite:
        model[2].bias.grad.fill_(float("nan"))
    before = values(model)
    scaler.step(optimizer)
    scaler.update()
    if is_finite:
        train(twin, other, 1)
        torch.testing.assert_close(values(model), values(twin))
    else:
        assert all(map(torch.equal, before, values(model)))
    assert not any("found_inf" in vars(member) for member in optimizer.members.values())


def test_the_closure_is_called_once_with_gradients_on() -> None:
    model = problem()
    optimizer = composite(model)
    calls = []

    def closure() -> Any:
        calls.append(torch.is_grad_enabled())
        return loss_of(model, optimizer)()

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() > 0
    assert optimizer.step() is None


class Watching:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def optkit_created(self, optimizer: Any) -> None:
        self.seen.append(("created", type(optimizer).__name__))

    @hookimpl
    def optkit_group_added(self, optimizer: Any, group: Any) -> None:
        self.seen.append(("added", type(optimizer).__name__))

    @hookimpl
    def optkit_after_step(self, optimizer: Any, loss: Any, skipped: Any) -> None:
        self.seen.append(("stepped", type(optimizer).__name__))

    @hookimpl
    def optkit_copied(self, optimizer: Any) -> None:
        self.seen.append(("copied", type(optimizer).__name__))


def test_plugins_and_hooks_are_told_of_one_optimizer() -> None:
    watching = Watching()
    name = register_plugin(watching)
    try:
        model = problem()
        optimizer = composite(model)
        steps: list[Any] = []
        optimizer.register_step_pre_hook(lambda *_: steps.append("pre"))
        optimizer.register_step_post_hook(lambda *_: steps.append("post"))
        train(model, optimizer, 1)
        copy.deepcopy(optimizer)
        pickle.loads(pickle.dumps(composite(model)))
        optimizer.add_param_group({"params": [("x", torch.ones(2))], "algorithm": "adamax"})
    finally:
        unregister_plugin(name)
    assert steps == ["pre", "post"]
    told = ["created", "stepped", "copied", "created", "copied", "added"]
    assert watching.seen == [(event, "CompositeOptimizer") for event in told]


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_and_pickles_go_on_alone(carry: Callable[[Any], Any]) -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 2)
    twin, other = carry((model, optimizer))
    train(model, optimizer, 3)
    lr_scheduler.ConstantLR(other, 0.5)
    other.param_groups[0]["lr"], other.param_groups[1]["lr"] = 0.1, 0.02
    train(twin, other, 3)
    assert_same(model, twin)
    shared = {id(p) for p in other.state} & {id(p) for p in optimizer.state}
    assert not shared


def test_a_shallow_copy_shares_groups_and_state() -> None:
    model, twin = problem(), problem()
    optimizer, other = composite(model), composite(twin)
    train(model, optimizer, 2)
    train(model, copy.copy(optimizer), 2)
    train(twin, other, 4)
    assert_same(model, twin)


def test_a_checkpoint_continues_and_carries_each_groups_schema() -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    assert [group["schema"] for group in saved["param_groups"]] == ["adagrad/1", "adamax/1"]
    twin = copy.deepcopy(model)
    other = composite(twin, lr_decay=0.1)
    report = other.load_state_dict(saved)
    assert report.loaded == ("0.weight", "0.bias", "2.weight", "2.bias")
    train(model, optimizer, 3)
    train(twin, other, 3)
    assert_same(model, twin)


def test_a_checkpoint_goes_by_names_whatever_the_order_of_the_groups() -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 2)
    twin = copy.deepcopy(model)
    groups = [
        {"params": named(twin, 2), "algorithm": "adamax"},
        {"params": named(twin, 0), "algorithm": "adagrad"},
    ]
    other = optkit.create("adamax", groups)
    other.load_state_dict(optimizer.state_dict())
    train(model, optimizer, 3)
    train(twin, other, 3)
    assert_same(model, twin)


def unnamed(model: Any, first: str, second: str) -> Any:
    groups = [
        {"params": model[0].parameters(), "algorithm": first},
        {"params": model[2].parameters(), "algorithm": second},
    ]
    return optkit.create("adagrad", groups)


@pytest.mark.parametrize("make", [unnamed, composite])
def test_a_checkpoint_of_other_algorithms_is_refused(make: Any) -> None:
    model = problem()
    optimizer = make(model, "adagrad", "adamax")
    train(model, optimizer, 2)
    saved = optimizer.state_dict()
    before = copy.deepcopy(optimizer.state_dict())
    swapped = make(model, "adamax", "adagrad")
    fresh = copy.deepcopy(swapped.state_dict())
    with pytest.raises(CheckpointError, match=r"group 0 is of adamax.* of adagrad/1.*group 1"):
        swapped.load_state_dict(saved)
    assert fingerprint(swapped.state_dict()) == fingerprint(fresh)
    plain = optkit.create("adagrad", [*named(model, 0), *named(model, 2)])
    with pytest.raises(CheckpointError, match="of several algorithms"):
        plain.load_state_dict(saved)
    train(model, plain, 1)
    with pytest.raises(CheckpointError):
        optimizer.load_state_dict(plain.state_dict())
    assert fingerprint(optimizer.state_dict()) == fingerprint(before)


def test_a_group_of_an_algorithm_that_isnt_here_is_named() -> None:
    optimizer = composite(problem())
    saved = optimizer.state_dict()
    saved["param_groups"][1]["schema"] = "lion/1"
    with pytest.raises(CheckpointError, match=r"saved group 1 is of lion/1; .* adagrad/1 and adam"):
        optimizer.load_state_dict(saved)
    for key in ("schema", "algorithm"):
        del saved["param_groups"][1][key]
    with pytest.raises(CheckpointError, match="saved group 1 doesn't say"):
        optimizer.load_state_dict(saved)


def test_without_schemas_groups_go_by_the_algorithms_that_they_name() -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 1)
    saved = copy.deepcopy(optimizer.state_dict())
    for group in saved["param_groups"]:
        del group["schema"], group["writer"]
    other = composite(model)
    other.load_state_dict(saved)
    assert torch.equal(
        other.state[model[2].bias]["exp_inf"], optimizer.state[model[2].bias]["exp_inf"]
    )


@pytest.mark.parametrize("key", ["sum", "exp_inf"])
def test_damaged_state_of_any_member_changes_nothing(key: str) -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    state = next(state for state in saved["state"].values() if key in state)
    state[key] = torch.ones(1, 2, 3)
    state["more"] = torch.ones(1)
    other = composite(model)
    fresh = copy.deepcopy(other.state_dict())
    with pytest.raises(CheckpointError, match=rf"(?s){key} of .*|'more'"):
        other.load_state_dict(saved)
    assert fingerprint(other.state_dict()) == fingerprint(fresh)


def test_a_file_keeps_it(tmp_path: Any) -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 2)
    optkit.save(optimizer, tmp_path / "optimizer.safetensors")
    twin = copy.deepcopy(model)
    other = composite(twin)
    optkit.load(other, tmp_path / "optimizer.safetensors")
    train(model, optimizer, 2)
    train(twin, other, 2)
    assert_same(model, twin)


@pytest.mark.parametrize("flatten", [False, True])
def test_torchs_distributed_layer_gets_and_sets_it(flatten: bool) -> None:
    options = StateDictOptions(flatten_optimizer_state_dict=flatten)
    model = problem()
    optimizer = composite(model)
    asked = get_optimizer_state_dict(model, optimizer, options=options)
    assert asked
    train(model, optimizer, 2)
    saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer, options=options))
    twin = copy.deepcopy(model)
    other = composite(twin)
    set_optimizer_state_dict(twin, other, saved, options=options)
    train(model, optimizer, 3)
    train(twin, other, 3)
    assert_same(model, twin)


@pytest.mark.parametrize("is_eager", [True, False])
def test_state_is_allocated_when_asked_for(is_eager: bool) -> None:
    model = problem()
    optimizer = composite(model, eager_state=is_eager, implementation="forloop")
    assert len(optimizer.state) == (4 if is_eager else 0)
    optimizer.init_state()
    assert {frozenset(state) for state in optimizer.state.values()} == {
        frozenset({"step", "sum"}),
        frozenset({"step", "exp_avg", "exp_inf"}),
    }


def test_a_group_of_no_known_algorithm_is_refused_when_it_is_to_step() -> None:
    optimizer = composite(problem())
    optimizer.param_groups.append({"params": [], "algorithm": "lion"})
    with pytest.raises(GroupError, match=r"'lion', which this optimizer doesn't have: adagrad, ad"):
        optimizer.step()


def test_a_compiled_step_has_the_same_result() -> None:
    model, twin = problem(), problem()
    optimizer, other = composite(model), composite(twin)
    step = torch.compile(optimizer.step, backend="eager")
    for _ in range(2):
        loss_of(model, optimizer)()
        step()
    train(twin, other, 2)
    assert_same(model, twin)


def transformer() -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Embedding(11, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 1)
    )


def parted(model: Any) -> Any:
    """Return Muon for the matrices of hidden layers, and AdamW for all else."""
    matrices = [(name, p) for name, p in model.named_parameters() if name == "1.weight"]
    rest = [(name, p) for name, p in model.named_parameters() if name != "1.weight"]
    return optkit.create(
        "adamw",
        [{"params": rest}, {"params": matrices, "algorithm": "muon", "lr": 0.02}],
        lr=1e-3,
        weight_decay=0.1,
    )


def test_matrices_and_the_rest() -> None:
    model, twin = transformer(), transformer()
    optimizer = parted(model)
    alone = [
        optkit.create(
            "adamw",
            [p for p in twin.parameters() if p is not twin[1].weight],
            lr=1e-3,
            weight_decay=0.1,
        ),
        optkit.create("muon", [twin[1].weight], lr=0.02),
    ]
    tokens = torch.arange(11)
    for _ in range(5):
        for one, optimizers in ((model, [optimizer]), (twin, alone)):
            one.zero_grad()
            one(tokens).square().mean().backward()
            for each in optimizers:
                each.step()
    assert_same(model, twin)
    assert [b.algorithm for b in optimizer.explain().buckets] == ["AdamW", "Muon"]
    other = parted(copy.deepcopy(model))
    other.load_state_dict(optimizer.state_dict())
    assert fingerprint(other.state_dict()) == fingerprint(optimizer.state_dict())


def test_vectors_for_muon_are_refused_with_the_way_out() -> None:
    model = transformer()
    with pytest.raises(GroupError, match=r"takes 2D parameters alone. Let a group of its own name"):
        optkit.create("adamw", [{"params": model[1].parameters(), "algorithm": "muon"}])


def test_the_command_line_inspects_its_file(tmp_path: Any, capsys: Any) -> None:
    model = problem()
    optimizer = composite(model)
    train(model, optimizer, 1)
    path = tmp_path / "optimizer.safetensors"
    optkit.save(optimizer, path)
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "adagrad/1, adamax/1" in shown
    assert "0.weight" in shown and "exp_inf" in shown
    assert main(["migrate", str(path)]) != 0
    assert "different schemas" in capsys.readouterr().err
