"""Schedules by name: how they are found, what is refused, and what a refusal leaves."""

from __future__ import annotations

import functools
from typing import Any

import distributions
import numpy
import pytest
import torch
from distributions import World
from scheduled import ARGUMENTS, TORCH_SCHEDULES, arguments_for
from torch.optim import lr_scheduler

import optkit

world = pytest.fixture(distributions.world)


def optimizer(name: str = "adamax", lr: Any = 0.1, **options: Any) -> Any:
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    return optkit.create(name, [{"params": [p], "lr": lr} for p in params], **options)


@pytest.mark.parametrize("name", TORCH_SCHEDULES)
def test_a_name_makes_the_class_of_torch(name: str) -> None:
    made = optimizer()
    schedule = optkit.create_schedule(name, made, **arguments_for(name, made))
    assert type(schedule) is TORCH_SCHEDULES[name]
    assert schedule.optimizer is made


@pytest.mark.parametrize("name", TORCH_SCHEDULES)
def test_the_name_of_the_class_is_found(name: str) -> None:
    cls = TORCH_SCHEDULES[name].__name__
    for spelled in (cls, cls.lower(), name.upper(), name.replace("_", "-"), f"optkit:{name}"):
        assert optkit.describe(spelled, kind="schedule").name == name


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("cosine", "cosine_annealing"),
        ("cosine_annealing_lr", "cosine_annealing"),
        ("cosine_warm_restarts", "cosine_annealing_warm_restarts"),
        ("reduce_lr_on_plateau", "reduce_on_plateau"),
        ("plateau", "reduce_on_plateau"),
        ("one_cycle_lr", "one_cycle"),
        ("poly", "polynomial"),
        ("SequentialLR", "sequential"),
        ("ChainedScheduler", "chained"),
    ],
)
def test_what_people_type_is_found(spelled: str, name: str) -> None:
    assert optkit.describe(spelled, kind="schedule").name == name


def test_a_name_of_its_own_comes_before_an_alias(world: World) -> None:
    optkit.register("cosine", lr_scheduler.StepLR, kind="schedule")
    assert type(optkit.create_schedule("cosine", optimizer(), step_size=1)) is lr_scheduler.StepLR
    optkit.unregister("cosine", kind="schedule")
    assert optkit.describe("cosine", kind="schedule").name == "cosine_annealing"


def test_numbers_of_other_libraries_become_pythons() -> None:
    # torch looks for an int, of which NumPy's aren't.
    made = optimizer()
    restarts = optkit.create_schedule("warm_restarts", made, T_0=numpy.int64(3))
    assert type(restarts.T_0) is int
    cycle = optkit.create_schedule("one_cycle", made, max_lr=0.1, total_steps=numpy.int32(9))
    assert type(cycle.total_steps) is int
    steps = optkit.create_schedule("multi_step", made, milestones=numpy.array([2, 4]))
    assert sorted(steps.milestones) == [2, 4]


def test_the_name_by_keyword() -> None:
    make = functools.partial(optkit.create_schedule, name="step", step_size=3)
    assert make(optimizer()).step_size == 3


REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "below": ("cosine", {"T_max": 0}, "T_max", "T_max must be a whole number of at least 1, got 0"),
    "fraction": ("step", {"step_size": 2.5}, "step_size", "step_size must be a whole number"),
    "text": ("exponential", {"gamma": "0.9"}, "gamma", "write 0.9 without quotes"),
    "yaml": ("exponential", {"gamma": "9e-1"}, "gamma", "write 9.0e-1"),
    "nan": ("exponential", {"gamma": float("nan")}, "gamma", "gamma must be in [0, inf), got nan"),
    "boolean": ("step", {"step_size": True}, "step_size", "must be a whole number"),
    "none": ("step", {"step_size": None}, "step_size", "must be a whole number"),
    "choice": ("plateau", {"mode": "least"}, "mode", "mode must be one of 'min' | 'max'"),
    "factor 0": ("constant", {"factor": 0.0}, "factor", "factor must be in (0, 1], got 0.0."),
    "start 0": ("linear", {"start_factor": 0}, "start_factor", "must be in (0, 1], got 0."),
    "no steps": ("polynomial", {"total_iters": 0}, "total_iters", "at least 1, got 0"),
    "function": ("lambda", {"lr_lambda": 0.9}, "lr_lambda", "must be a function, got 0.9"),
    "second function": (
        "lambda",
        {"lr_lambda": [abs, 1]},
        "lr_lambda[1]",
        "lr_lambda[1] must be a function",
    ),
    "functions": ("lambda", {"lr_lambda": [abs] * 3}, "lr_lambda", "or 2, one for each group"),
    "rates": (
        "cyclic",
        {"base_lr": 0.1, "max_lr": [0.2]},
        "max_lr",
        "max_lr must be one value, or 2, one for each group, got 1.",
    ),
    "a rate": ("swa", {"swa_lr": [0.1, -0.1]}, "swa_lr[1]", "swa_lr[1] must be in [0, inf)"),
    "falling": ("multi_step", {"milestones": [3, 2]}, "milestones", "must rise, got [3, 2]"),
    "no list": ("multi_step", {"milestones": 3}, "milestones", "must be a list"),
    "misspelled": ("cosine", {"Tmax": 3}, "Tmax", "takes no 'Tmax' (got Tmax=3). Did you mean"),
    "missing": ("cosine", {}, "T_max", "schedule 'cosine' needs T_max."),
    "two missing": ("cyclic", {}, "base_lr", "needs base_lr and max_lr."),
    "warmup": ("step", {"step_size": 3, "warmup": -1}, "warmup", "warmup must be a whole number"),
    "warm start": (
        "step",
        {"step_size": 3, "warmup": 2, "warmup_start": 0},
        "warmup_start",
        "warmup_start must be in (0, 1] or None, got 0.",
    ),
    "torch's": ("one_cycle", {"max_lr": 0.1}, "", "can't be made: ValueError: You must define"),
    "resumed": ("step", {"step_size": 3, "last_epoch": 4}, "", "'initial_lr' is not specified"),
    "warm and resumed": (
        "step",
        {"step_size": 3, "warmup": 2, "last_epoch": 4},
        "last_epoch",
        "last_epoch must be -1 beside a warm-up",
    ),
    "member resumed": (
        "chained",
        {"schedules": [{"name": "linear", "last_epoch": 3}]},
        "schedules[0].last_epoch",
        "schedules[0].last_epoch can't be given",
    ),
    "raises": ("lambda", {"lr_lambda": lambda step: 1 / step}, "", "ZeroDivisionError"),
    "warm chain": ("chained", {**ARGUMENTS["chained"], "warmup": 2}, "warmup", "warmup must be 0"),
    "milestones": (
        "sequential",
        {"schedules": [{"name": "step", "step_size": 1}], "milestones": [3]},
        "milestones",
        "milestones must be 0, one for each",
    ),
    "empty": ("chained", {"schedules": []}, "schedules", "must be a list of mappings"),
    "no name": ("chained", {"schedules": [{}]}, "schedules[0]", "a mapping with the name"),
    "member": (
        "chained",
        {"schedules": [{"name": "linear"}, {"name": "step", "step_size": 0}]},
        "schedules[1].step_size",
        "schedules[1].step_size must be a whole number",
    ),
    "member's name": (
        "chained",
        {"schedules": [{"name": "stp"}]},
        "schedules[0].name",
        "no schedule is called 'stp'. Did you mean 'step'?",
    ),
    "member's argument": (
        "chained",
        {"schedules": [{"name": "step", "stepsize": 1}]},
        "schedules[0]",
        "schedules[0] takes no 'stepsize'",
    ),
    "metric": ("chained", {"schedules": [{"name": "plateau"}]}, "schedules[0]", "a metric"),
    "nested": (
        "sequential",
        {"schedules": [{"name": "chained", "schedules": []}], "milestones": []},
        "schedules[0]",
        "is made of schedules itself",
    ),
    "member's warmup": (
        "chained",
        {"schedules": [{"name": "linear", "warmup": 3}]},
        "schedules[0].warmup",
        "schedules[0].warmup can't be given",
    ),
}


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_the_argument_and_changes_nothing(case: str, lr: Any) -> None:
    name, arguments, argument, words = REFUSED[case]
    made = optimizer(lr=lr)
    before = [dict(group) for group in made.param_groups]
    with pytest.raises(optkit.ArgumentError) as raised:
        optkit.create_schedule(name, made, **arguments)
    assert words in str(raised.value)
    assert f"schedule {name!r}" in str(raised.value)
    assert raised.value.argument == argument
    assert "step" not in vars(made)
    for group, kept in zip(made.param_groups, before, strict=True):
        assert list(group) == list(kept)
        assert all(group[key] is kept[key] for key in kept)
        assert float(group["lr"]) == pytest.approx(0.1)


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
def test_what_torch_wrote_before_it_failed_is_taken_back(lr: Any) -> None:
    made = optimizer(lr=lr)

    def failing(cycle: float) -> float:
        assert made.param_groups[0]["lr"] == pytest.approx(0.2)  # torch has written it by now
        raise RuntimeError("no scale")

    with pytest.raises(optkit.ArgumentError, match="RuntimeError: no scale"):
        optkit.create_schedule("cyclic", made, base_lr=0.2, max_lr=0.3, scale_fn=failing)
    assert [float(group["lr"]) for group in made.param_groups] == [pytest.approx(0.1)] * 2
    assert not {"initial_lr", "max_lr", "min_lr"} & {*made.param_groups[0]}


MOMENTA = {
    ("adagrad", "adagrad"): "the optimizer has no 'momentum' and no 'betas'",
    ("adagrad", "adamw"): "the optimizer has no 'momentum' and no 'betas'",
    ("adamw", "muon"): "it sets 'betas' in every group, and group 1 (muon) has none",
    ("sgd", "adamw"): "it sets 'momentum' in every group, and group 1 (adamw) has none",
    ("sgd", "muon"): None,
    ("adamw", "lion"): None,
}


@pytest.mark.parametrize("name", ["cyclic", "one_cycle"])
@pytest.mark.parametrize("algorithms", MOMENTA, ids="-".join)
def test_every_group_must_have_the_momentum_that_is_cycled(
    algorithms: tuple[str, str], name: str
) -> None:
    first, second = algorithms
    params = [torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    made = optkit.create(
        first, [{"params": params[:1]}, {"params": params[1:], "algorithm": second}]
    )
    told = MOMENTA[algorithms]
    if told is not None:
        with pytest.raises(optkit.ArgumentError) as raised:
            optkit.create_schedule(name, made, **ARGUMENTS[name])
        assert str(raised.value).endswith(f"cycle_momentum must be False here: {told}.")
        assert raised.value.argument == "cycle_momentum"
        assert all("initial_lr" not in group for group in made.param_groups)
    arguments = {**ARGUMENTS[name], "cycle_momentum": told is None}
    assert optkit.create_schedule(name, made, **arguments).get_last_lr()


def test_the_function_that_torch_puts_over_step_is_taken_back() -> None:
    made = optimizer()

    def failing(step: int) -> float:
        assert "step" in vars(made)  # torch has put it there by now
        raise RuntimeError("no rate")

    with pytest.raises(optkit.ArgumentError, match="RuntimeError: no rate"):
        optkit.create_schedule("lambda", made, lr_lambda=failing)
    assert "step" not in vars(made)
    optkit.create_schedule("linear", made)
    over = vars(made)["step"]
    with pytest.raises(optkit.ArgumentError, match="no rate"):
        optkit.create_schedule("lambda", made, lr_lambda=failing)
    assert vars(made)["step"] is over


def test_an_unknown_schedule() -> None:
    with pytest.raises(optkit.UnknownScheduleError, match="Did you mean 'exponential'"):
        optkit.create_schedule("exponental", optimizer(), gamma=0.5)
    with pytest.raises(optkit.UnknownScheduleError, match="Did you mean 'cosine'"):
        optkit.create_schedule("cosin", optimizer(), T_max=5)
    with pytest.raises(optkit.UnknownScheduleError, match="--kind schedule"):
        optkit.create_schedule("adamw", optimizer())
    with pytest.raises(optkit.UnknownScheduleError, match="must be a string"):
        optkit.create_schedule(None, optimizer())


def test_what_is_no_optimizer() -> None:
    with pytest.raises(optkit.ArgumentError, match=r"needs a torch.optim.Optimizer, got \[\]"):
        optkit.create_schedule("linear", [])


def test_torchs_own_optimizers_and_composites_take_schedules() -> None:
    pairs = [("a", torch.nn.Parameter(torch.ones(2, 2))), ("b", torch.nn.Parameter(torch.ones(2)))]
    groups = [
        {"params": pairs[:1], "algorithm": "muon", "lr": 0.1},
        {"params": pairs[1:], "lr": 0.1},
    ]
    composite = optkit.create("adamw", groups)
    for made in (composite, torch.optim.SGD([pairs[1][1]], lr=0.1)):
        schedule = optkit.create_schedule("step", made, step_size=1, gamma=0.5)
        made.step()
        schedule.step()
        assert {group["lr"] for group in made.param_groups} == {0.05}


def test_a_group_added_later_keeps_torchs_complaint() -> None:
    made = optimizer()
    schedule = optkit.create_schedule("lambda", made, lr_lambda=lambda step: 0.5)
    made.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    made.step()
    with pytest.raises(ValueError, match="zip"):
        schedule.step()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_everything_is_described(name: str) -> None:
    described = optkit.describe(name, kind="schedule")
    assert described.summary and described.distribution == "optkit"
    assert all(argument.doc and argument.range for argument in described.arguments)
    assert bool(described.page) == (name in TORCH_SCHEDULES)
    assert described.as_dict()["kind"] == "schedule"
    assert f"{name}: " in str(described)
