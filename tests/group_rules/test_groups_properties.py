"""What holds of groups whatever the rules are."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis
import pytest
from grouped_models import GPT, ConvNet, ViT
from hypothesis import strategies as st

import optkit
from optkit_core import RuleError

MODELS = [ViT(), GPT(), ConvNet()]

SELECTIONS = st.sampled_from(
    [
        *({"match": pattern} for pattern in ("*", "*.weight", "*.bias", "*norm*", "*.1.*", "h*")),
        *({"ndim": ndim} for ndim in (1, 2, [0, 1], [3, 4])),
        *({"module": name} for name in ("norm", "Linear", "Conv2d", "Embedding", "RMSNorm")),
        {"match": ["*.0.*", "*head*"], "ndim": 2},
    ]
)
ACTIONS = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.sampled_from([0.1, 0.2, 0.4]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "lr_scale": st.sampled_from([0.5, 2.0]),
        "algorithm": st.sampled_from(["adamw", "lion"]),
    },
).filter(bool)
RULES = st.lists(st.builds(lambda a, b: {**a, **b}, SELECTIONS, ACTIONS), max_size=5)
DEFAULT = {"algorithm": "adamw", "lr": 1.0}


def fitting(model: Any, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of some rules that claim anything in a model."""

    def fits(rule: dict[str, Any]) -> bool:
        try:
            optkit.groups(model, [rule], default=DEFAULT)
        except RuleError:
            return False
        return True

    return list(filter(fits, rules))


def by_name(made: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in g.items() if key not in ("params", "param_names")}
        for g in made
        for name in g["param_names"]
    }


def options_in_words(model: Any, rules: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return a parameter's options as the documentation tells how rules combine."""
    claiming = [
        rule
        for rule in rules
        if name
        in {
            n
            for n, o in by_name(
                optkit.groups(model, [{**_selecting(rule), "lr": -1.0}], default={"lr": 0.0})
            ).items()
            if o["lr"] == -1.0
        }
    ]
    algorithm = next((r["algorithm"] for r in reversed(claiming) if "algorithm" in r), "adamw")
    holding = [rule for rule in claiming if rule.get("algorithm", algorithm) == algorithm]
    said: dict[str, Any] = {"lr": 1.0} if algorithm == "adamw" else {}
    for rule in holding:
        said |= {k: v for k, v in rule.items() if k in ("lr", "weight_decay", "lr_scale")}
    if "lr_scale" in said:
        said["lr"] = said.get("lr", optkit.Lion.default_values["lr"]) * said.pop("lr_scale")
    return said | ({} if algorithm == "adamw" else {"algorithm": algorithm})


def _selecting(rule: dict[str, Any]) -> dict[str, Any]:
    return {key: rule[key] for key in ("match", "ndim", "module") if key in rule}


@pytest.mark.slow
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(st.sampled_from(MODELS), RULES)
def test_each_parameter_stands_once_with_what_the_rules_say(model: Any, rules: Any) -> None:
    rules = fitting(model, rules)
    made = optkit.groups(model, rules, default=DEFAULT)
    held = [id(p) for g in made for p in g["params"]]
    assert sorted(held) == sorted(map(id, model.parameters()))
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[i] for i in held] == [name for g in made for name in g["param_names"]]
    for name, options in by_name(made).items():
        assert options == options_in_words(model, rules, name)
    # As few groups as have different options, in the order of the model.
    said = [{k: v for k, v in g.items() if k not in ("params", "param_names")} for g in made]
    assert all(one != other for one, other in itertools.combinations(said, 2))
    order = list(names.values())
    firsts = [order.index(g["param_names"][0]) for g in made]
    assert firsts == sorted(firsts)
    optkit.create("adamw", made)


@pytest.mark.slow
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(st.sampled_from(MODELS), st.randoms(use_true_random=False), st.data())
def test_the_order_of_rules_that_do_not_overlap_is_all_the_same(
    model: Any, random: Any, data: Any
) -> None:
    names = [name for name, _ in model.named_parameters()]
    random.shuffle(names)
    cuts = sorted(random.sample(range(1, len(names)), 3))
    parts = [names[a:b] for a, b in itertools.pairwise([0, *cuts, len(names)])]
    rules = [{"names": part, **data.draw(ACTIONS)} for part in parts]
    made = optkit.groups(model, rules, default=DEFAULT)
    permuted = optkit.groups(model, random.sample(rules, len(rules)), default=DEFAULT)
    assert list(map(dict.items, made)) == list(map(dict.items, permuted)) or [
        {**g, "params": [*map(id, g["params"])]} for g in made
    ] == [{**g, "params": [*map(id, g["params"])]} for g in permuted]


VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-2, 4), st.floats(), st.just(10**400)),
        st.sampled_from(
            ["", "*", "norm", "adamw", "muon", "1e-3", "{}", "[", "h.{}.*", "GPTBlock"]
        ),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        *("match", "names", "module", "ndim", "algorithm", "frozen", "exclusive", "lr_scale"),
        *(
            "layer_decay",
            "blocks",
            "depth",
            "lr",
            "betas",
            "weight_decay",
            "maximize",
            "name",
            "eps",
        ),
        *("implementation", "params", "lrr", ""),
    ]
)


@pytest.mark.slow
@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=2),
    st.none() | st.dictionaries(KEYS, VALUES, max_size=2),
    st.booleans(),
)
def test_whatever_is_given_is_made_or_refused(rules: Any, default: Any, add: bool) -> None:
    model = GPT()
    rules = [{"match": "*", **rule} for rule in rules] if add else rules
    try:
        made = optkit.groups(model, rules, default=default)
    except optkit.OptkitError:
        assert all(p.requires_grad for p in model.parameters())
    else:
        assert made.table(parameters=True)
