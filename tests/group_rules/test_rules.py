"""How rules combine, and which of them are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from grouped_models import GPT, ViT
from torch import nn

import optkit
from optkit_core import GroupError, ParametersError, RuleError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1)


def options(made: Any) -> dict[str, dict[str, Any]]:
    """Return the options of each parameter by its name."""
    return {
        name: {key: value for key, value in g.items() if key not in ("params", "param_names")}
        for g in made
        for name in g["param_names"]
    }


def test_the_later_rule_wins_and_the_rest_of_both_holds() -> None:
    rules = [
        {"match": "*", "lr": 0.1, "momentum": 0.9},
        {"match": "*.bias", "lr": 0.2},
        {"match": "last.*", "lr": 0.3, "weight_decay": 0.0},
    ]
    found = options(optkit.groups(Net(), rules))
    assert found["first.weight"] == {"lr": 0.1, "momentum": 0.9}
    assert found["norm.bias"] == {"lr": 0.2, "momentum": 0.9}
    assert found["last.bias"] == {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.0}


def test_groups_are_as_few_as_have_different_options() -> None:
    rules = [
        {"match": "*", "lr": 0.1, "betas": [0.5, 0.5]},
        {"match": "norm.*", "betas": (0.5, 0.5)},
        {"match": "last.*", "lr": 0.2, "lr_scale": 0.5},
    ]
    assert len(optkit.groups(Net(), rules)) == 1


def test_a_name_keeps_groups_apart_and_stands_in_them() -> None:
    rules = [{"match": "*", "lr": 0.1}, {"match": "last.*", "name": "head"}]
    made = optkit.groups(Net(), rules)
    assert [g.get("name") for g in made] == [None, "head"]
    assert torch.optim.SGD(made).param_groups[1]["name"] == "head"


def test_groups_and_parameters_are_in_the_order_of_the_model() -> None:
    rules = [{"match": "last.*", "lr": 0.2}, {"match": ["norm.*", "first.*"], "lr": 0.1}]
    made = optkit.groups(Net(), rules)
    assert [g["lr"] for g in made] == [0.1, 0.2]
    assert made[0]["param_names"] == ["first.weight", "first.bias", "norm.weight", "norm.bias"]


def test_factors_multiply_the_rate_whoever_sets_it() -> None:
    rules = [
        {"match": "first.*", "lr_scale": 0.5},
        {"match": "first.bias", "lr": 1.0},
        {"match": "*", "layer_decay": 0.1, "depth": ["first.*", "norm.*", "last.*"]},
    ]
    found = options(optkit.groups(Net(), rules, default={"algorithm": "adamw", "lr": 2.0}))
    assert found["first.weight"]["lr"] == 2.0 * (0.5 * 0.1**2)
    assert found["first.bias"]["lr"] == 1.0 * (0.5 * 0.1**2)
    assert found["norm.weight"]["lr"] == 2.0 * 0.1
    assert found["last.weight"]["lr"] == 2.0


def test_without_a_rate_the_algorithms_default_is_multiplied() -> None:
    rules = [{"match": "*", "lr_scale": 0.5}]
    made = optkit.groups(Net(), rules, default={"algorithm": "adamw"})
    assert made[0]["lr"] == optkit.AdamW.default_values["lr"] * 0.5


def test_a_tensor_rate_is_multiplied_once_for_all_its_groups() -> None:
    lr = torch.tensor(0.5)
    rules = [{"match": "*", "lr_scale": 0.5}, {"match": "norm.*", "weight_decay": 0.1}]
    one, other = optkit.groups(Net(), rules, default={"lr": lr})
    assert one["lr"] is other["lr"]
    assert one["lr"] == 0.25


def test_nobody_knows_the_rate() -> None:
    with pytest.raises(RuleError, match=r"rules\[0\]: it multiplies the learning rate of first"):
        optkit.groups(Net(), [{"match": "*", "lr_scale": 0.5}])


def test_a_rule_with_an_algorithm_holds_for_those_that_end_up_with_it() -> None:
    rules = [
        {"ndim": 2, "algorithm": "muon", "lr": 0.02, "momentum": 0.8},
        {"match": "last.*", "algorithm": "adamw"},
        {"match": "*.weight", "weight_decay": 0.3},
    ]
    default = {"algorithm": "adamw", "lr": 1e-3, "eps": 1e-6, "maximize": True}
    made = optkit.groups(Net(), rules, default=default)
    found = options(made)
    ours = {"lr": 1e-3, "eps": 1e-6, "maximize": True}
    assert found["last.weight"] == {**ours, "weight_decay": 0.3}
    assert found["last.bias"] == ours
    # Of the default, options hold for every algorithm, and hyperparameters for its own.
    assert found["first.weight"] == {
        **{"algorithm": "muon", "lr": 0.02, "momentum": 0.8, "weight_decay": 0.3},
        "maximize": True,
    }
    optimizer = optkit.create("adamw", made)
    assert [g["algorithm"] for g in optimizer.param_groups] == ["muon", "adamw", "adamw"]


def test_algorithms_are_the_same_in_every_spelling() -> None:
    rules = [{"match": "*", "algorithm": "AdamW"}]
    assert "algorithm" not in optkit.groups(Net(), rules, default={"algorithm": "adam_w"})[0]
    assert optkit.groups(Net(), rules)[0]["algorithm"] == "adamw"


def test_frozen_parameters_are_left_out_and_need_no_gradient() -> None:
    model = Net()
    rules = [{"match": "*", "frozen": True}, {"match": "last.*", "frozen": False}]
    made = optkit.groups(model, rules)
    assert made[0]["param_names"] == ["last.weight", "last.bias"]
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "last.weight",
        "last.bias",
    ]
    # Gradual unfreezing: what is said to train does, whatever was said before.
    again = optkit.groups(model, [{"match": "*", "frozen": False}])
    assert len(again[0]["params"]) == 6
    assert all(p.requires_grad for p in model.parameters())


def test_parameters_without_gradients_are_left_out_and_need_no_rule() -> None:
    model = Net()
    model.first.requires_grad_(False)
    made = optkit.groups(model, [{"match": ["norm.*", "last.*"], "lr": 0.1}])
    assert made[0]["param_names"] == ["norm.weight", "norm.bias", "last.weight", "last.bias"]
    # A rule may claim them all the same.
    optkit.groups(model, [{"match": "first.*", "lr": 0.1}], default={})
    assert not model.first.weight.requires_grad


def test_nothing_is_frozen_where_anything_is_wrong() -> None:
    model = Net()
    rules = [{"match": "first.*", "frozen": True}, {"match": "*", "lr": -1.0}]
    with pytest.raises(RuleError, match=r"rules\[1\]: lr must be in"):
        optkit.groups(model, rules, default={"algorithm": "sgd"})
    assert all(p.requires_grad for p in model.parameters())


def test_a_parameter_of_integers_cannot_be_unfrozen() -> None:
    model = Net()
    model.codes = nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False)
    model.first.requires_grad_(False)
    with pytest.raises(RuleError, match=r"'codes' is of torch.int8"):
        optkit.groups(model, [{"match": "*", "frozen": False}])
    assert not model.first.weight.requires_grad


def test_tied_parameters_go_once_and_answer_to_either_name() -> None:
    model = GPT()
    by_name = {"match": "lm_head.*", "lr": 0.5}
    found = options(optkit.groups(model, [by_name], default={"lr": 0.1}))
    assert found["wte.weight"] == {"lr": 0.5}
    assert "lm_head.weight" not in found
    by_class = [{"module": "Linear", "lr": 0.5}, {"module": "Embedding", "lr": 0.2}]
    assert options(optkit.groups(model, by_class, default={}))["wte.weight"] == {"lr": 0.2}
    listed = list(model.named_parameters(remove_duplicate=False))
    assert options(optkit.groups(listed, [by_name], default={"lr": 0.1}))["wte.weight"]["lr"] == 0.5


def test_wrapped_models_answer_to_the_names_of_the_model() -> None:
    wrapped = nn.DataParallel(Net())
    rules = [{"match": "first.*", "lr": 0.1}, {"names": ["norm.weight"], "lr": 0.3}]
    found = options(optkit.groups(wrapped, rules, default={"lr": 0.2}))
    assert found["module.first.weight"]["lr"] == 0.1
    assert found["module.norm.weight"]["lr"] == 0.3
    assert found["module.norm.bias"]["lr"] == 0.2


def test_parametrized_layers_are_of_their_own_class() -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.LayerNorm(2))
    made = optkit.groups(model, [{"module": "Linear", "lr": 0.1}], default={"lr": 0.2})
    assert [(g["lr"], len(g["params"])) for g in made] == [(0.1, 3), (0.2, 2)]


@pytest.mark.parametrize("of", ["pairs", "iterator", "mapping"])
def test_named_parameters_do_where_no_modules_are_asked_for(of: str) -> None:
    model = Net()
    source = {
        "pairs": list(model.named_parameters()),
        "iterator": model.named_parameters(),
        "mapping": dict(model.named_parameters()),
    }[of]
    rules = [{"match": "*.bias", "weight_decay": 0.0}]
    made = optkit.groups(source, rules, default={"weight_decay": 0.1})
    assert options(made) == options(optkit.groups(model, rules, default={"weight_decay": 0.1}))


def test_an_exclusive_rule_combines_with_those_that_adjust() -> None:
    rules = [
        {"ndim": 2, "algorithm": "muon", "lr": 0.02, "exclusive": True},
        {"match": ["*.bias", "norm.weight"], "exclusive": True},
        {"match": "first.*", "weight_decay": 0.0},
    ]
    rules[1]["lr"] = 0.1
    found = options(optkit.groups(Net(), rules))
    assert found["first.weight"] == {"algorithm": "muon", "lr": 0.02, "weight_decay": 0.0}


@pytest.mark.parametrize(
    "other", [{"exclusive": True, "lr": 0.1}, {"algorithm": "adamw"}, {"frozen": True}]
)
def test_an_exclusive_rule_shares_with_none_that_excludes_it(other: dict[str, Any]) -> None:
    rules = [{"match": "last.*", **other}, {"ndim": 2, "lr": 0.02, "exclusive": True}]
    with pytest.raises(RuleError) as caught:
        optkit.groups(Net(), rules, default={})
    message = str(caught.value)
    assert "rules[0] (match 'last.*') and rules[1] (ndim 2) both claim last.weight." in message


def test_unclaimed_parameters_are_named() -> None:
    with pytest.raises(RuleError, match=r"no rule claims first\.weight, last\.weight\. .*default="):
        optkit.groups(Net(), [{"ndim": 1, "lr": 0.1}])
    assert len(optkit.groups(Net(), [{"ndim": 1, "lr": 0.1}], default={})) == 2


def test_the_options_of_groups_are_those_the_algorithm_keeps() -> None:
    rules = [{"match": "*", "betas": [0.8, 0.9]}]
    made = optkit.groups(Net(), rules, default={"algorithm": "adamw"})
    assert made[0]["betas"] == (0.8, 0.9)


def test_classes_that_are_not_optkits_are_checked_by_their_signature() -> None:
    optkit.register("torch-asgd", torch.optim.ASGD)
    try:
        default = {"algorithm": "torch-asgd"}
        made = optkit.groups(
            Net(), [{"match": "*", "lr_scale": 0.5, "lambd": 0.1}], default=default
        )
        assert (made[0]["lr"], made[0]["lambd"]) == (0.005, 0.1)
        with pytest.raises(RuleError, match=r"ASGD takes no 'lambda'.* Did you mean 'lambd'"):
            optkit.groups(Net(), [{"match": "*", "lambda": 0.1}], default=default)
        mixed = [{"match": "first.*", "algorithm": "adamw"}]
        with pytest.raises(GroupError, match="can't be one of several"):
            optkit.groups(Net(), mixed, default=default)
    finally:
        optkit.unregister("torch-asgd")


WRONG: dict[str, tuple[Any, str]] = {
    "not a list": ({"match": "*", "lr": 1}, "rules must be a list of mappings"),
    "not mappings": (["*.bias"], r"rules\[0\]: it must be a mapping, got '\*.bias'"),
    "keys that aren't texts": ([{1: 2}], r"rules\[0\]: its keys must be texts"),
    "nothing selects": ([{"lr": 1}], "it claims no parameters: it needs one of 'match'"),
    "an empty list selects": ([{"match": [], "lr": 1}], "match must be a text or a list of texts"),
    "nothing said": ([{"match": "*"}], "it says nothing about the parameters"),
    "misspelled key": ([{"matc": "*", "lr": 1}], "it has matc='\\*'. Did you mean 'match'?"),
    "misspelled action": ([{"match": "*", "frozn": True}], "Did you mean 'frozen'"),
    "params": ([{"match": "*", "params": []}], "'params' isn't for rules. Select .* 'names'"),
    "depth alone": ([{"match": "*", "lr": 1, "depth": ["*"]}], "'depth' goes with 'layer_decay'"),
    "blocks and depth": (
        [{"match": "*", "layer_decay": 0.5, "depth": ["*"], "blocks": "Linear"}],
        "it has 'blocks' and 'depth'",
    ),
    "factor as text": ([{"match": "*", "lr_scale": "0.5"}], "got '0.5', which is text: write 0.5"),
    "factor below zero": ([{"match": "*", "lr_scale": -1}], r"lr_scale must be in \[0, inf\), got"),
    "decay above one": ([{"match": "*", "layer_decay": 1.5}], r"layer_decay must be in \[0, 1\]"),
    "frozen as text": ([{"match": "*", "frozen": "yes"}], "frozen must be True or False"),
    "ndim as text": ([{"ndim": "2", "lr": 1}], "ndim must be a whole number of dimensions"),
    "ndim below zero": ([{"ndim": -1, "lr": 1}], "ndim must be a whole number of dimensions"),
    "depth as text": ([{"match": "*", "layer_decay": 1, "depth": "*"}], "depth must be a list"),
    "unknown algorithm": (
        [{"match": "*", "algorithm": "adamm"}],
        r"rules\[0\]: no algorithm is called 'adamm'. Did you mean 'adam'",
    ),
    "wrong value": (
        [{"match": "*", "algorithm": "adamw", "lr": "1e-3"}],
        r"rules\[0\]: lr must be a number .* write 1.0e-3",
    ),
    "undeclared": (
        [{"match": "*", "algorithm": "adamw"}, {"match": "last.*", "momentum": 0.9}],
        r"rules\[1\]: AdamW takes no 'momentum', which the rule gives last.{weight,bias}",
    ),
    "wrong together": (
        [{"match": "*", "algorithm": "sgd", "nesterov": True}],
        "what the rules give .* doesn't go together",
    ),
    "wrong shape": (
        [{"match": "*", "algorithm": "muon"}],
        r"rules\[0\]: 'first.bias' has shape \(3,\), and Muon takes 2D parameters alone",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_rules_are_refused(case: str) -> None:
    rules, message = WRONG[case]
    with pytest.raises(RuleError, match=message):
        optkit.groups(Net(), rules)


def test_an_error_says_which_rule_and_key() -> None:
    rules = [{"match": "*", "lr": 0.1}, {"match": "*", "algorithm": "adamw", "betas": 3}]
    with pytest.raises(RuleError) as caught:
        optkit.groups(Net(), rules)
    assert (caught.value.index, caught.value.key) == (1, "betas")
    assert str(caught.value) == f"rules[1]: {caught.value.reason}"
    with pytest.raises(RuleError) as caught:
        optkit.groups(Net(), rules[:1], default={"algorithm": "adamw", "lrr": 1})
    assert (caught.value.index, caught.value.key) == (-1, "lrr")
    assert str(caught.value).startswith("default: ")


@pytest.mark.parametrize("key", ["match", "frozen", "layer_decay", "exclusive"])
def test_the_default_is_for_hyperparameters(key: str) -> None:
    with pytest.raises(RuleError, match=f"default: '{key}' belongs into a rule"):
        optkit.groups(Net(), [], default={key: True if key == "frozen" else 0})


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (nn.Identity(), GroupError, "there are no parameters"),
        ([], GroupError, "there are no parameters"),
        ([torch.zeros(2)], ParametersError, "a model, or from .name, parameter. pairs"),
        (torch.zeros(2), ParametersError, "a model, or from"),
        (None, ParametersError, "a model, or from"),
        (
            [("a", nn.Parameter(torch.zeros(1))), ("a", nn.Parameter(torch.zeros(1)))],
            GroupError,
            "two parameters are called 'a'",
        ),
    ],
)
def test_what_has_no_named_parameters_is_refused(source: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optkit.groups(source, [{"match": "*", "lr": 1}])


def test_all_frozen_is_refused() -> None:
    model = Net()
    with pytest.raises(GroupError, match="nothing to train"):
        optkit.groups(model, [{"match": "*", "frozen": True}])
    assert model.first.weight.requires_grad


def test_no_rules_make_one_group() -> None:
    made = optkit.groups(ViT(), [], default={"lr": 0.1})
    assert [g["lr"] for g in made] == [0.1]
