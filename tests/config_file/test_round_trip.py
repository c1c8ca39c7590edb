"""`optimizer.config()` and back: the same groups, options and order, in every format."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import tomli_w
import torch
import yaml
from algorithms import ALGORITHMS, MATRIXWISE, SPARSE_ONLY
from config_samples import Random, TinyTransformer, valid
from torch import nn

import optkit
from optkit_core import ConfigError
from optkit_core.declaration.roles import Role

FORMATS = {
    "mapping": lambda config: config,
    "toml": lambda config: tomllib.loads(tomli_w.dumps(config)),
    "json": lambda config: json.loads(json.dumps(config)),
    "yaml": lambda config: yaml.safe_load(yaml.safe_dump(config)),
}


def comparable(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]


def require_exact(optimizer: Any, model: type[nn.Module] | Any = TinyTransformer) -> None:
    """Require that the configuration of an optimizer makes an equal one, and says the same."""
    config = optimizer.config()
    for read in FORMATS.values():
        assert read(config) == config
        other = optkit.from_config(read(config), model()).optimizer
        assert type(other) is type(optimizer)
        assert comparable(other) == comparable(optimizer)
        assert other.defaults == optimizer.defaults
        assert other.config() == config


def other_values(algorithm: Any) -> dict[str, Any]:
    """Return values that aren't the defaults, where that is easily told."""
    declared = algorithm.declarations.items()
    own = {name: item for name, item in declared if item.role is Role.HYPERPARAMETER}
    changed = {name: other_value(item.default) for name, item in own.items()}
    allowed = {k: v for k, v in changed.items() if not own[k].range.complaint(k, v)}
    complaint = algorithm.values_complaint({**algorithm.default_values, **allowed})
    return {"lr": 0.5} if complaint else allowed


def other_value(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value * 0.5 + 0.001
    if isinstance(value, tuple) and None not in value:
        return tuple(0.9 * item for item in value)
    return value


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_with_and_without_values(name: str) -> None:
    dense = TinyTransformer()
    named = [(n, p) for n, p in dense.named_parameters() if p.dim() == 2 or name not in MATRIXWISE]
    assert name in SPARSE_ONLY or named
    for values in ({}, other_values(ALGORITHMS[name])):
        require_exact(optkit.create(name, named, **values))


def test_groups_keep_their_order_their_parameters_and_their_names() -> None:
    named = dict(TinyTransformer().named_parameters())
    groups = [
        {"params": [("head.bias", named["head.bias"])], "lr": 0.5, "name": "last"},
        {
            "params": [
                ("embed.weight", named["embed.weight"]),
                ("head.weight", named["head.weight"]),
            ]
        },
        # The same options as the one before: a group all the same.
        {"params": [("blocks.0.norm.bias", named["blocks.0.norm.bias"])]},
    ]
    optimizer = optkit.create("adamw", groups, betas=(0.8, 0.9), maximize=True)
    assert len(optimizer.config()["optimizer"]["groups"]) == 3
    require_exact(optimizer)


def test_several_algorithms() -> None:
    named = dict(TinyTransformer().named_parameters())
    groups = [
        {"params": [(n, p) for n, p in named.items() if p.dim() == 2 and "blocks" in n],
         "algorithm": "muon", "lr": 0.02, "adjust_lr_fn": "original"},
        {"params": [(n, p) for n, p in named.items() if p.dim() == 1], "weight_decay": 0.0},
        {"params": [("embed.weight", named["embed.weight"])], "algorithm": "Lion"},
    ]  # fmt: skip
    require_exact(optkit.create("adamw", groups, lr=0.1, maximize=True))
    require_exact(optkit.create("adamw", groups[:1], implementation="auto"))


@pytest.mark.parametrize(
    "options",
    [
        {"implementation": "foreach"},
        {"implementation": {"cpu": "forloop", "*": "auto"}},
        {"foreach": True},
        {"fused": False},
        {"eager_state": True},
        {"differentiable": True},
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    named = list(TinyTransformer().named_parameters())
    require_exact(optkit.create("adamw", named, **options))
    if "foreach" not in options:
        groups = [{"params": named[:2], "implementation": "forloop"}, {"params": named[2:]}]
        if "fused" not in options:
            require_exact(optkit.create("adamw", groups, **options))


def test_values_that_text_formats_lack() -> None:
    named = list(TinyTransformer().named_parameters())
    config = optkit.create("adamw", named, lr=torch.tensor(0.5), capturable=True).config()
    assert config["optimizer"]["lr"] == 0.5
    optimizer = optkit.create("prodigy", [
        {"params": named[:2]}, {"params": named[2:], "beta3": None}
    ], beta3=0.5)  # fmt: skip
    assert optimizer.config()["optimizer"]["groups"][1]["beta3"] == "none"
    require_exact(optimizer)
    optimizer = optkit.create("lbfgs", named, history_dtype=torch.float64)
    assert optimizer.config()["optimizer"]["history_dtype"] == "float64"


@pytest.mark.parametrize("seed", range(30))
def test_what_any_configuration_builds(seed: int) -> None:
    config = valid(Random(seed))
    setup = optkit.from_config(config, TinyTransformer())
    assert setup.config() == config
    again = optkit.from_config(setup.config(), TinyTransformer())
    assert comparable(again.optimizer) == comparable(setup.optimizer)
    config.pop("schedule", None)
    require_exact(optkit.from_config(config, TinyTransformer()).optimizer)


def test_a_rate_that_a_schedule_changes_is_the_one_it_started_from() -> None:
    optimizer = optkit.create("sgd", TinyTransformer().named_parameters(), lr=0.5)
    before = optimizer.config()
    optkit.create_schedule("linear", optimizer, start_factor=0.1)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    assert optimizer.config() == before


class Unregistered(optkit.SGD):
    """A class that no name leads to."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optkit.create("sgd", TinyTransformer().parameters()), "named_parameters"),
        (lambda: Unregistered(TinyTransformer().named_parameters()), "isn't registered"),
        (
            lambda: optkit.create(
                "lbfgs", TinyTransformer().named_parameters(), line_search_fn=lambda *_: None
            ),
            "optimizer.line_search_fn is <function",
        ),
    ],
    ids=["no names", "no class", "a function"],
)
def test_what_cant_be_written_is_said(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make().config()


def test_as_listed_takes_what_is_listed_and_nothing_else() -> None:
    listed = {"name": "adamw", "grouping": "as_listed"}
    for groups, path, words in (
        ([{"names": ["head.bais"]}], "optimizer.groups[0].names[0]", "Did you mean 'head.bias'"),
        ([{"names": "head.bias"}] * 2, "optimizer.groups[1].names[0]", "stands twice"),
        ([{"names": ["head.bias"], "frozen": True}], "optimizer.groups[0].frozen", "can't be said"),
        ([{"match": "*", "lr": 1}], "optimizer.groups[0].match", "can't be said"),
        ([], "optimizer", "has no groups"),
    ):
        with pytest.raises(ConfigError, match=words) as raised:
            optkit.from_config({"optimizer": {**listed, "groups": groups}}, TinyTransformer())
        assert path in {fault.path for fault in raised.value.faults}
    model = TinyTransformer()
    setup = optkit.from_config({"optimizer": {**listed, "groups": [{"names": "head.bias"}]}}, model)
    assert setup.optimizer.param_groups[0]["params"] == [model.head.bias]
    assert all(p.requires_grad for p in model.parameters())
