"""What a configuration builds, and how a wrong one is refused as a whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS
from config_samples import TinyTransformer
from config_trials import outcome
from torch import nn
from torch.optim import lr_scheduler

import optkit
from optkit_core import ConfigError, ConfigFileError, Elementwise, hyperparameter, within

EVERYTHING: dict[str, Any] = {
    "optimizer": {
        "name": "adamw",
        "lr": 0.1,
        "betas": [0.8, 0.9],
        "groups": [
            {"match": "*.bias", "weight_decay": 0.0},
            {"module": "Embedding", "frozen": True},
            {"match": "blocks.*.linear.weight", "algorithm": "muon", "lr": 0.02},
        ],
    },
    "implementation": {"cpu": "foreach"},
    "schedule": {"name": "cosine_annealing", "T_max": 10, "warmup": 4},
    "averaging": {"name": "ema", "decay": 0.5},
    "clipping": {"norm": 0.5},
}


def built(config: Any, model: nn.Module | None = None) -> optkit.TrainingSetup:
    return optkit.from_config(config, TinyTransformer() if model is None else model)


def test_every_section_is_built() -> None:
    model = TinyTransformer()
    setup = built(EVERYTHING, model)
    assert isinstance(setup.optimizer, torch.optim.Optimizer)
    groups = setup.optimizer.param_groups
    assert {(g["algorithm"], g["initial_lr"], g["weight_decay"]) for g in groups} == {
        ("adamw", 0.1, 0.01),
        ("adamw", 0.1, 0.0),
        ("muon", 0.02, 0.1),
    }
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters())) - 1
    assert groups[0]["betas"] == (0.8, 0.9)
    assert not model.embed.weight.requires_grad
    assert isinstance(setup.schedule, lr_scheduler.SequentialLR)
    assert groups[0]["lr"] == pytest.approx(0.02)
    assert setup.averaging.module is not model
    assert setup.clipping is not None and setup.clipping.norm == 0.5
    assert {choice.offer.name for choice in stepped(setup, model).optimizer.plan} == {"foreach"}


def stepped(setup: optkit.TrainingSetup, model: nn.Module) -> optkit.TrainingSetup:
    model(torch.tensor([1, 2])).square().sum().backward()
    setup.step()
    return setup


def test_what_isnt_asked_for_is_none() -> None:
    setup = built({"optimizer": {"name": "adamw"}})
    assert (setup.schedule, setup.averaging, setup.clipping) == (None, None, None)
    assert len(setup.optimizer.param_groups) == 1


@pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in ("muon", "sparseadam")])
def test_every_algorithm_with_nothing_but_its_name_is_the_default_one(name: str) -> None:
    model = TinyTransformer()
    setup = built({"optimizer": {"name": name}}, model)
    by_hand = optkit.create(name, model.named_parameters())
    assert setup.optimizer.defaults == by_hand.defaults
    for group, other in zip(setup.optimizer.param_groups, by_hand.param_groups, strict=True):
        assert list(map(id, group["params"])) == list(map(id, other["params"]))
        assert {k: group[k] for k in other if k != "params"} == {
            k: other[k] for k in other if k != "params"
        }
    assert outcome({"optimizer": {"name": name}}) is None


def test_rules_build_what_groups_builds() -> None:
    model = TinyTransformer()
    rules = [{"module": "norm", "weight_decay": 0.0}, {"match": "*", "layer_decay": 0.5}]
    setup = built({"optimizer": {"name": "adamw", "lr": 0.1, "groups": rules}}, model)
    by_hand = optkit.groups(model, rules, default={"algorithm": "adamw", "lr": 0.1})
    for group, other in zip(setup.optimizer.param_groups, by_hand, strict=True):
        assert {key: group[key] for key in other} == other


@pytest.mark.parametrize("later", ["algorithm", "hyperparameter"])
def test_a_rule_may_speak_of_the_algorithm_that_another_gives(later: str) -> None:
    model, matrices = TinyTransformer(), {"match": "blocks.*.linear.weight"}
    rules = [{**matrices, "algorithm": "muon"}, {**matrices, "ns_coefficients": [3, -4, 2]}]
    rules = rules if later == "hyperparameter" else rules[::-1]
    setup = built({"optimizer": {"name": "adamw", "groups": rules}}, model)
    made = optkit.groups(model, rules, default={"algorithm": "adamw"})
    direct = optkit.create("adamw", made)
    assert {g.get("ns_coefficients") for g in direct.param_groups} == {None, (3, -4, 2)}
    assert setup.optimizer.config() == direct.config()


def test_a_group_may_ask_for_an_implementation_of_its_own() -> None:
    rules = [{"match": "*.bias", "implementation": "forloop"}]
    config = {"optimizer": {"name": "adamw", "groups": rules}, "implementation": "foreach"}
    model = TinyTransformer()
    setup = stepped(built(config, model), model)
    assert {choice.offer.name for choice in setup.optimizer.plan} == {"foreach", "forloop"}


def test_a_configuration_that_was_read_comes_before_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPTKIT_IMPLEMENTATION", "forloop")
    config = {"optimizer": {"name": "adamw"}, "implementation": "foreach"}
    assert built(config).optimizer.request.on("cpu") == "foreach"
    assert built({"optimizer": {"name": "adamw"}}).optimizer.request.on("cpu") == "forloop"


WRONG: list[tuple[Any, str]] = [
    ({}, "the configuration has no section 'optimizer'"),
    ({"optimizer": {}}, "optimizer has no 'name', which it needs."),
    ({"optimizer": "adamw"}, "optimizer must be a table, got 'adamw'."),
    ({"optimizer": None}, "optimizer must be a table"),
    ({"optimizer": {"name": 3}}, "optimizer.name must be text, 'adamw' for example, got 3."),
    ({"optimizer": {"name": "adamww"}}, "'adamww'. Did you mean 'adamw'"),
    ({"optimiser": {"name": "adamw"}}, "optimiser isn't known. Did you mean 'optimizer'?"),
    ({"optimizer": {"lr": True}}, "optimizer.lr must be a number in [0, inf), got True."),
    ({"optimizer": {"lr": "fast"}}, "optimizer.lr must be a number in [0, inf), got 'fast'."),
    ({"optimizer": {"lr": float("nan")}}, "optimizer.lr must be in [0, inf), got nan."),
    ({"optimizer": {"lr": float("inf")}}, "optimizer.lr must be in [0, inf), got inf."),
    ({"optimizer": {"lr": None}}, "optimizer.lr must be a number in [0, inf), got None."),
    ({"optimizer": {"betas": [0.9, 1.0]}}, "optimizer.betas[1] must be in [0, 1), got 1.0."),
    ({"optimizer": {"betas": [0.9]}}, "optimizer.betas must be 2 values, each in [0, 1)"),
    ({"optimizer": {"amsgrad": 1}}, "optimizer.amsgrad must be true or false, got 1."),
    ({"optimizer": {"learning_rate": 1}}, "Did you mean 'lr'? It takes lr, betas"),
    ({"optimizer": {"grups": []}}, "optimizer.grups isn't known to adamw. Did you mean 'groups'"),
    ({"optimizer": {"foreach": True, "fused": True}}, "is refused: `fused` and `foreach`"),
    ({"optimizer": {"groups": {"match": "*"}}}, "optimizer.groups must be a list of tables"),
    ({"optimizer": {"groups": ["*.bias"]}}, "optimizer.groups[0] must be a table, got '*.bias'."),
    ({"optimizer": {"groups": [{"lr": 1}]}}, "optimizer.groups[0] is refused: it claims no"),
    ({"optimizer": {"groups": [{"match": "*", "wd": 1}]}}, "groups[0].wd isn't known to adamw. "),
    ({"optimizer": {"groups": [{"match": 1, "lr": 1}]}}, "groups[0].match must be a text"),
    ({"optimizer": {"groups": [{"mtch": "*", "lr": 1}]}}, "Did you mean 'match'?"),
    ({"optimizer": {"groups": [{"match": "*", "algorithm": "moun"}]}}, "groups[0].algorithm is"),
    (
        {"optimizer": {"groups": [{"match": "*", "lr": 1}, {"match": "*", "weight_decay": -1}]}},
        "optimizer.groups[1].weight_decay must be in [0, inf), got -1.",
    ),
    (
        {"optimizer": {"groups": [{"match": "*.bais", "lr": 1}]}},
        "optimizer.groups[0].match is refused: 'match': '*.bais' fits nothing.",
    ),
    (
        {"optimizer": {"groups": [{"module": "Embedding", "frozen": True},
                                  {"match": "*.bias", "algorithm": "muon"}]}},
        "optimizer.groups[1].algorithm is refused: 'blocks.0.norm.bias' has shape",
    ),
    (
        {"optimizer": {"groups": [{"match": "*", "algorithm": "lbfgs"}]}},
        "by a closure",
    ),
    ({"optimizer": {"groups": [{"match": "*", "name": {}, "lr": 1}]}}, "[0].name must be text"),
    ({"optimizer": {"groups": [{"match": "*", "initial_lr": 1}]}}, "initial_lr isn't known to"),
    (
        {"optimizer": {"groups": [{"match": "*linear.weight", "algorithm": "muon"},
                                  {"match": "*", "momentum": 0.9}]}},
        "optimizer.groups[1].momentum is refused: AdamW takes no 'momentum', which the rule gives",
    ),
    (
        {"optimizer": {"groups": [{"match": "*linear.weight", "algorithm": "muon"},
                                  {"match": "*linear.weight", "momntum": 0.9}]}},
        "optimizer.groups[1].momntum isn't known to adamw. Did you mean 'momentum'?",
    ),
    ({"optimizer": {"implementation": "foreach"}}, "optimizer.implementation has a section of its"),
    ({"implementation": "foreech"}, "implementation must be one of auto, forloop, foreach, fused"),
    ({"implementation": {"cpu": 3}}, "implementation.cpu must be one of auto"),
    ({"implementation": {"cpux": "foreach"}}, "implementation.cpux is refused: a device type"),
    ({"implementation": "flat"}, "optimizer is refused: "),
    ({"schedule": {"T_max": 3}}, "schedule has no 'name', which it needs."),
    ({"schedule": {"name": "cosin"}}, "schedule.name is refused: no schedule is called 'cosin'."),
    ({"schedule": {"name": "step"}}, "schedule has no 'step_size', which step needs"),
    ({"schedule": {"name": "step", "step_size": 0}}, "schedule.step_size must be a whole number"),
    ({"schedule": {"name": "step", "step_size": 1, "gama": 1}}, "Did you mean 'gamma'?"),
    ({"schedule": {"name": "step", "step_size": 1, "intervl": 1}}, "Did you mean 'interval'?"),
    (
        {"schedule": {"name": "multi_step", "milestones": [1, "x"]}},
        "schedule.milestones[1] must be a whole number of at least 0, got 'x'.",
    ),
    (
        {"schedule": {"name": "reduce_on_plateau", "interval": "step"}},
        "schedule.interval must be 'epoch' for reduce_on_plateau",
    ),
    (
        {"schedule": {"name": "linear", "interval": "batch"}},
        "schedule.interval must be one of 'step' | 'epoch'",
    ),
    ({"averaging": {"name": "emma"}}, "averaging.name is refused: no averaging is called 'emma'."),
    ({"averaging": {"name": "ema", "decay": 2}}, "averaging.decay must be in [0, 1], got 2."),
    ({"averaging": {"name": "ema", "every": 0}}, "averaging.every must be a whole number"),
    ({"clipping": {}}, "clipping has neither 'norm' nor 'value'; it takes one of them."),
    ({"clipping": {"norm": 1, "value": 1}}, "clipping has both 'norm' and 'value'"),
    ({"clipping": {"norm": -1}}, "clipping.norm must be in [0, inf] or None, got -1."),
    ({"clipping": {"max_norm": 1}}, "clipping.max_norm isn't known. Did you mean 'norm'"),
]  # fmt: skip


def named(config: Any) -> Any:
    """Return a configuration whose optimizer has a name, but for those about that."""
    optimizer = config.get("optimizer", {"name": "adamw"})
    if not config or optimizer in ({}, None) or not isinstance(optimizer, dict):
        return config
    if "optimiser" in config:
        return config
    return {**config, "optimizer": {"name": "adamw", **optimizer}}


@pytest.mark.parametrize(("config", "words"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_configuration_is_refused_as_a_whole(config: Any, words: str) -> None:
    error = outcome(named(config))
    assert error is not None and words in str(error)
    assert all(fault.line is None for fault in error.faults)


def test_all_mistakes_are_told_at_once() -> None:
    config = {
        "optimizer": {"name": "adamw", "lr": -1, "beta": 1, "groups": [{"match": "*", "lr": "x"}]},
        "schedule": {"name": "step"},
        "clipping": {"norm": "x"},
        "averagin": {},
    }
    error = outcome(config)
    assert error is not None
    assert {fault.path for fault in error.faults} == {
        "optimizer.lr",
        "optimizer.beta",
        "optimizer.groups[0].lr",
        "schedule",
        "clipping.norm",
        "averagin",
    }
    assert len(str(error).splitlines()) == len(error.faults)


def test_a_later_failure_leaves_no_parameter_frozen() -> None:
    config = {
        "optimizer": {"name": "adamw", "groups": [{"module": "Embedding", "frozen": True}]},
        "schedule": {"name": "cyclic", "base_lr": [0.1, 0.1, 0.1], "max_lr": 1.0},
    }
    error = outcome(config)
    assert error is not None and [fault.path for fault in error.faults] == ["schedule"]


@pytest.mark.parametrize("model", [None, "model", [torch.zeros(1)], nn.Linear])
def test_the_model_must_be_one(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"torch\.nn\.Module"):
        optkit.from_config({"optimizer": {"name": "adamw"}}, model)


def test_classes_that_arent_optkits_go_by_their_signatures(registered: Any) -> None:
    registered("their-sgd", torch.optim.SGD)
    registered("their-adam", torch.optim.Adam)
    setup = built({"optimizer": {"name": "their-sgd", "lr": 0.5, "momentum": 0.9}})
    assert type(setup.optimizer) is torch.optim.SGD
    assert setup.optimizer.defaults["momentum"] == 0.9
    adam = built({"optimizer": {"name": "their_adam", "betas": [0.5, 0.9]}}).optimizer
    assert adam.defaults["betas"] == (0.5, 0.9)
    for wrong, words in (
        ({"momentm": 0.9}, "optimizer.momentm isn't known to their-sgd. Did you mean 'momentum'"),
        ({"lr": -1.0}, "optimizer is refused: SGD says ValueError: Invalid learning rate"),
        ({"lr": "x"}, "optimizer is refused: SGD says TypeError"),
        ({"params": []}, "optimizer.params isn't known"),
    ):
        error = outcome({"optimizer": {"name": "their-sgd", **wrong}})
        assert error is not None and words in str(error)


def test_a_class_that_needs_an_argument_says_so(registered: Any) -> None:
    class NeedsRate(torch.optim.SGD):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, lr=lr)

    registered("needs-rate", NeedsRate)
    error = outcome({"optimizer": {"name": "needs-rate"}})
    assert error is not None and "optimizer has no 'lr', which needs-rate needs." in str(error)


def test_none_can_be_said_in_every_format() -> None:
    for none in (None, "none"):
        setup = built({"optimizer": {"name": "adafactor", "eps": [none, 0.01]}})
        assert setup.optimizer.defaults["eps"] == (None, 0.01)
    error = outcome({"optimizer": {"name": "adamw", "lr": "none"}})
    assert error is not None and "optimizer.lr must be a number" in str(error)


def test_a_range_of_a_plugin_says_what_is_wrong_in_its_own_words(registered: Any) -> None:
    class Even:
        def __str__(self) -> str:
            return "even"

        def complaint(self, name: str, value: Any) -> str:
            return "" if value % 2 == 0 else f"an even number is needed for {name}, not {value}."

    class Halving(Elementwise):
        """Halves."""

        count: int = hyperparameter(default=2, range=Even())
        lr: float = hyperparameter(default=0.5, range=within(0.0, 1.0))

        @staticmethod
        def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
            p.sub_(g, alpha=h.lr / h.count)

    registered("halving", Halving)
    assert outcome({"optimizer": {"name": "halving", "count": 4}}) is None
    error = outcome({"optimizer": {"name": "halving", "count": 3}})
    assert str(error) == "optimizer.count is refused: an even number is needed for count, not 3."


def test_the_error_can_be_taken_apart() -> None:
    with pytest.raises(ConfigFileError) as raised:
        built({"optimizer": {"name": "adamw", "lr": -1}})
    (fault,) = raised.value.faults
    assert (fault.path, fault.line) == ("optimizer.lr", None)
    assert fault.message == "optimizer.lr must be in [0, inf), got -1."
