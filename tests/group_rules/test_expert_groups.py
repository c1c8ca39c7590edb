"""The groups of three kinds of models are those that an expert writes out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from grouped_models import GPT, ConvNet, ViT
from torch import nn

import optkit

Expected = list[tuple[dict[str, Any], list[str]]]
"""The options of each group, and the names of its parameters."""

VIT_RULES = [
    {"ndim": [0, 1], "weight_decay": 0.0},
    {"match": ["cls_token", "pos_embed"], "weight_decay": 0.0},
    {"match": "*", "layer_decay": 0.75},
]
VIT_DEFAULT = {"algorithm": "adamw", "lr": 4e-3, "weight_decay": 0.05}

NO, YES = {"weight_decay": 0.0}, {"weight_decay": 0.05}


def vit_block(i: int) -> tuple[list[str], list[str]]:
    """Return the names in a block that don't decay, and those that do."""
    at = f"blocks.{i}."
    plain = [
        *(at + name for name in ("norm1.weight", "norm1.bias")),
        *(at + name for name in ("attn.qkv.bias", "attn.proj.bias", "ls1.gamma")),
        *(at + name for name in ("norm2.weight", "norm2.bias", "mlp.fc1.bias", "mlp.fc2.bias")),
    ]
    matrices = ["attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight"]
    return plain, [at + name for name in matrices]


VIT_GROUPS: Expected = [
    (
        {"lr": 4e-3 * 0.75**3, "weight_decay": 0.0},
        ["cls_token", "pos_embed", "patch_embed.bias"],
    ),
    ({"lr": 4e-3 * 0.75**3, "weight_decay": 0.05}, ["patch_embed.weight"]),
    ({"lr": 4e-3 * 0.75**2, "weight_decay": 0.0}, vit_block(0)[0]),
    ({"lr": 4e-3 * 0.75**2, "weight_decay": 0.05}, vit_block(0)[1]),
    ({"lr": 4e-3 * 0.75, "weight_decay": 0.0}, vit_block(1)[0]),
    ({"lr": 4e-3 * 0.75, "weight_decay": 0.05}, vit_block(1)[1]),
    ({"lr": 4e-3, "weight_decay": 0.0}, ["norm.weight", "norm.bias", "head.bias"]),
    ({"lr": 4e-3, "weight_decay": 0.05}, ["head.weight"]),
]

GPT_RULES = [
    {"module": "norm", "weight_decay": 0.0},
    {"match": "h.*", "ndim": 2, "algorithm": "muon", "lr": 0.02, "weight_decay": 0.01},
    {"match": "wpe.*", "weight_decay": 0.0, "lr_scale": 0.5},
]
GPT_DEFAULT = {"algorithm": "adamw", "lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": 0.1}

ADAMW = {"lr": 3e-4, "betas": (0.9, 0.95)}
MATRICES = ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight")
GPT_GROUPS: Expected = [
    ({**ADAMW, "weight_decay": 0.1}, ["wte.weight"]),
    ({**ADAMW, "weight_decay": 0.0, "lr": 1.5e-4}, ["wpe.weight"]),
    (
        {**ADAMW, "weight_decay": 0.0},
        ["h.0.ln_1.weight", "h.0.ln_2.weight", "h.1.ln_1.weight", "h.1.ln_2.weight", "ln_f.weight"],
    ),
    (
        {"algorithm": "muon", "lr": 0.02, "weight_decay": 0.01},
        [f"h.{i}.{name}" for i in (0, 1) for name in MATRICES],
    ),
]

CONV_RULES = [
    {"module": "norm", "weight_decay": 0.0},
    {"match": "*.bias", "weight_decay": 0.0},
]
CONV_DEFAULT = {"algorithm": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-5}

SGD = {"lr": 0.1, "momentum": 0.9}
BLOCKS = [f"stages.{i}.blocks.{j}" for i in (0, 1) for j in (0, 1)]
CONV_GROUPS: Expected = [
    (
        {**SGD, "weight_decay": 5e-5},
        [
            "stem.0.weight",
            "stages.0.downsample.weight",
            *(f"{b}.{n}.weight" for b in BLOCKS[:2] for n in ("dwconv", "pwconv1", "pwconv2")),
            "stages.1.downsample.weight",
            *(f"{b}.{n}.weight" for b in BLOCKS[2:] for n in ("dwconv", "pwconv1", "pwconv2")),
            "head.weight",
        ],
    ),
    (
        {**SGD, "weight_decay": 0.0},
        [
            *("stem.1.weight", "stem.1.bias"),
            "stages.0.downsample.bias",
            *(
                f"{block}.{name}"
                for block in BLOCKS[:2]
                for name in (
                    *("dwconv.bias", "norm.weight", "norm.bias", "pwconv1.bias"),
                    *("grn.gamma", "grn.beta", "pwconv2.bias"),
                )
            ),
            "stages.1.downsample.bias",
            *(
                f"{block}.{name}"
                for block in BLOCKS[2:]
                for name in (
                    *("dwconv.bias", "norm.weight", "norm.bias", "pwconv1.bias"),
                    *("grn.gamma", "grn.beta", "pwconv2.bias"),
                )
            ),
            "head.bias",
        ],
    ),
]

CASES = {
    "vit": (ViT, VIT_RULES, VIT_DEFAULT, VIT_GROUPS),
    "gpt": (GPT, GPT_RULES, GPT_DEFAULT, GPT_GROUPS),
    "conv": (ConvNet, CONV_RULES, CONV_DEFAULT, CONV_GROUPS),
}

INPUTS = {
    "vit": lambda: torch.rand(2, 1, 4, 4),
    "gpt": lambda: torch.randint(11, (2, 6)),
    "conv": lambda: torch.rand(2, 1, 8, 8),
}


def by_hand(model: nn.Module, expected: Expected) -> list[dict[str, Any]]:
    tensors = dict(model.named_parameters())
    return [
        {"params": [tensors[name] for name in names], "param_names": names, **options}
        for options, names in expected
    ]


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Return whether groups hold the very same tensors, in order, and equal options."""
    return [[*map(id, g["params"])] for g in one] == [[*map(id, g["params"])] for g in other] and [
        {key: value for key, value in g.items() if key != "params"} for g in one
    ] == [{key: value for key, value in g.items() if key != "params"} for g in other]


@pytest.mark.parametrize("case", CASES)
def test_the_groups_are_those_written_by_hand(case: str) -> None:
    build, rules, default, expected = CASES[case]
    model = build()
    made = optkit.groups(model, rules, default=default)
    hand = by_hand(model, expected)
    assert [(g["param_names"], g.keys()) for g in made] == [
        (g["param_names"], g.keys()) for g in hand
    ]
    assert same(made, hand)


@pytest.mark.parametrize("case", CASES)
def test_an_optimizer_of_them_steps_as_one_of_the_groups_by_hand(case: str) -> None:
    build, rules, default, expected = CASES[case]
    stepped = []
    for make in (
        lambda model: optkit.groups(model, rules, default=default),
        lambda model: by_hand(model, expected),
    ):
        torch.manual_seed(0)
        model = build()
        optimizer = optkit.create(default["algorithm"], make(model))
        for _ in range(3):
            model(INPUTS[case]()).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        stepped.append(list(model.parameters()))
    assert all(torch.equal(p, q) for p, q in zip(*stepped, strict=True))


@pytest.mark.parametrize("case", ["vit", "conv"])
def test_torchs_own_class_takes_them(case: str) -> None:
    build, rules, default, expected = CASES[case]
    model = build()
    algorithm = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[default["algorithm"]]
    optimizer = algorithm(optkit.groups(model, rules, default=default))
    of_hand: Callable[..., Any] = algorithm
    other = of_hand(by_hand(model, expected))
    assert same(optimizer.param_groups, other.param_groups)
