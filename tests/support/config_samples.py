"""Configurations at random: valid ones for a small model, and what mistakes make of them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import tomli_w
import yaml
from torch import nn

Config = dict[str, Any]
Random = random.Random

FORMATS = ("toml", "yaml", "json")


class TinyBlock(nn.Module):
    """A norm and a layer, with what goes around them added."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return x + self.linear(self.norm(x))


class TinyTransformer(nn.Module):
    """An embedding, two blocks and a head: names, modules and depths as in a large model."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.blocks = nn.ModuleList(TinyBlock() for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


ALGORITHMS: dict[str, dict[str, Callable[[Random], Any]]] = {
    "adamw": {
        "betas": lambda r: [r.uniform(0, 0.99), r.uniform(0.9, 0.999)],
        "weight_decay": lambda r: r.choice([0, 0.05, 1e-3]),
        "amsgrad": lambda r: r.random() < 0.5,
    },
    "sgd": {"momentum": lambda r: r.choice([0.0, 0.9]), "dampening": lambda r: 0.0},
    "adafactor": {"eps": lambda r: ["none", 1e-3], "d": lambda r: r.uniform(1, 3)},
    "lion": {"betas": lambda r: [0.9, r.uniform(0.9, 0.999)]},
    "prodigy": {"beta3": lambda r: r.choice(["none", 0.9])},
    "schedulefree_adamw": {"warmup_steps": lambda r: r.randrange(5)},
    "lbfgs": {"max_iter": lambda r: 1, "history_size": lambda r: r.randrange(1, 9)},
    "Ada-Max": {"eps": lambda r: r.choice([0.0, 1e-8])},
}
"""Algorithms, each with hyperparameters and how to draw one."""

RULES: list[Callable[[Random], Config]] = [
    lambda r: {"match": "*.bias", "weight_decay": 0.0},
    lambda r: {"match": ["*.norm.*", "head.*"], "lr": r.uniform(0, 0.1)},
    lambda r: {"module": "norm", "weight_decay": 0.0, "name": "norms"},
    lambda r: {"module": "Embedding", "frozen": True},
    lambda r: {"ndim": r.choice([1, [1, 2]]), "lr_scale": r.uniform(0.1, 2)},
    lambda r: {"match": "*", "layer_decay": r.uniform(0.5, 1)},
    lambda r: {"names": ["head.weight"], "lr": 0.5},
    lambda r: {"match": "blocks.*.linear.weight", "algorithm": "muon", "lr": 0.02},
]

SCHEDULES: list[Callable[[Random], Config]] = [
    lambda r: {"name": "cosine_annealing", "T_max": r.randrange(1, 50), "warmup": r.randrange(5)},
    lambda r: {"name": "step", "step_size": r.randrange(1, 9), "gamma": r.random()},
    lambda r: {"name": "multi_step", "milestones": [2, 5], "interval": "epoch"},
    lambda r: {"name": "one_cycle", "max_lr": 0.1, "total_steps": 20, "cycle_momentum": False},
    lambda r: {"name": "reduce_on_plateau", "patience": r.randrange(5)},
    lambda r: {"name": "LinearLR", "start_factor": 0.5, "total_iters": 3},
]

AVERAGINGS: list[Callable[[Random], Config]] = [
    lambda r: {"name": "ema", "decay": r.uniform(0.9, 0.999), "every": r.randrange(1, 4)},
    lambda r: {"name": "swa", "start": r.randrange(3), "interval": "epoch"},
]

CLIPPINGS: list[Callable[[Random], Config]] = [
    lambda r: {"norm": r.uniform(0.1, 3)},
    lambda r: {"norm": 1.0, "norm_type": r.choice([1, 2.0])},
    lambda r: {"value": r.random()},
]

IMPLEMENTATIONS = ("auto", "foreach", "forloop", {"cpu": "foreach", "*": "auto"})


def valid(r: Random) -> Config:
    """Return a configuration that fits a `TinyTransformer`."""
    name = r.choice([*ALGORITHMS])
    keys = [key for key in ALGORITHMS[name] if r.random() < 0.7]
    optimizer = {"name": name, **{key: ALGORITHMS[name][key](r) for key in keys}}
    if r.random() < 0.7:
        optimizer["lr"] = r.choice([1e-3, 0.01, 1])
    rules = [] if name == "lbfgs" else [rule(r) for rule in RULES if r.random() < 0.3]
    # What only some algorithms have.
    taken = ALGORITHMS[name].keys() | {"lr"}
    rules = [rule for rule in rules if "weight_decay" not in rule or "weight_decay" in taken]
    if rules:
        optimizer["groups"] = rules
    config: Config = {"optimizer": optimizer}
    for key, samples in (
        ("schedule", SCHEDULES),
        ("averaging", AVERAGINGS),
        ("clipping", CLIPPINGS),
    ):
        if r.random() < 0.5:
            config[key] = r.choice(samples)(r)
    if r.random() < 0.3 and name != "lbfgs":
        config["implementation"] = copy.copy(r.choice(IMPLEMENTATIONS))
    return config


JUNK: list[Any] = [
    True, False, 0, 1, -1, 10**30, 0.5, -0.1, 1e300, float("inf"), float("nan"), "", " ", "1e-3",
    "0.1", "adamw", "none", "nonsense", "ä", "a.b[0]", [], [[]], {}, [1, 2], [0.9, 0.99],
    ["x"], {"lr": 1}, {"name": "sgd"}, [{"match": "*", "lr": 1}], None, "x" * 300, "true",
]  # fmt: skip


def mutated(r: Random, config: Config) -> Config:
    """Return a configuration with a mistake or a few: in a key, in a value, in where it stands."""
    config = copy.deepcopy(config)
    for _ in range(r.choice([1, 1, 2, 4])):
        r.choice(MISTAKES)(r, r.choice(_containers(config)))
    return config


def _containers(value: Any) -> list[Any]:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, (dict, list)) and value else []
    return own + [item for part in below for item in _containers(part)]


def _replace(r: Random, where: Any) -> None:
    where[_key(r, where)] = copy.deepcopy(r.choice(JUNK))


def _drop(r: Random, where: Any) -> None:
    del where[_key(r, where)]
    if not where:  # so that further mistakes find something
        where.update({"x": 1}) if isinstance(where, dict) else where.append(1)


def _misspell(r: Random, where: Any) -> None:
    if isinstance(where, dict):
        key = _key(r, where)
        position = r.randrange(len(key) + 1)
        where[key[:position] + r.choice("xyz_-. ") + key[position + r.randrange(2) :]] = where.pop(
            key
        )


def _add(r: Random, where: Any) -> None:
    if isinstance(where, dict):
        names = (
            "lr", "name", "weight_decay", "groups", "algorithm", "frozen", "params", "ü",
            "implementation", "foreach", "fused", "maximize", "eager_state", "grouping", "names",
            "warmup", "interval", "every", "last_epoch", "param_names", "initial_lr",
        )  # fmt: skip
        where[r.choice(names)] = copy.deepcopy(r.choice(JUNK))
    else:
        where.append(copy.deepcopy(r.choice(JUNK)))


def _swap(r: Random, where: Any) -> None:
    first, second = _key(r, where), _key(r, where)
    where[first], where[second] = where[second], where[first]


MISTAKES = (_replace, _replace, _drop, _misspell, _add, _swap)


def _key(r: Random, where: Any) -> Any:
    return r.choice(list(where)) if isinstance(where, dict) else r.randrange(len(where))


def written(config: Config, form: str) -> str:
    """Return a configuration as text; where TOML can't say it, as YAML would."""
    if form == "toml":
        try:
            return tomli_w.dumps(config)
        except TypeError:  # it has no null
            return yaml.safe_dump(config, sort_keys=False)
    if form == "yaml":
        return yaml.safe_dump(config, sort_keys=False)
    return json.dumps(config, indent=1)


def garbled(r: Random, content: bytes) -> bytes:
    """Return a text with a mistake of somebody's editor or disk."""
    position = r.randrange(len(content) + 1)
    other = r.randrange(len(content) + 1)
    lines = content.splitlines(keepends=True) or [b""]
    ways: list[Callable[[], bytes]] = [
        lambda: content[:position],
        lambda: content[position:],
        lambda: content[:position] + bytes([r.randrange(256)]) + content[position + 1 :],
        lambda: content[: min(position, other)] + content[max(position, other) :],
        lambda: content[:position] + content[other : other + 20] + content[position:],
        lambda: b"".join(r.sample(lines, len(lines))),
        lambda: b"".join([*lines, r.choice(lines)]),
        lambda: r.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]) + content,
        lambda: content.replace(r.choice([b"=", b":", b'"', b"[", b"{", b" "]), b"", 1),
        lambda: content.decode("utf-8", "replace").encode("utf-16"),
        lambda: content.replace(b"\n", r.choice([b"\r\n", b"\r", b"\n\n\t", b"\0"])),
    ]
    return r.choice(ways)()
