"""Which parameters decay by rules, and by the groupings of timm and transformers beside them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from grouped_models import GPT, ConvNet, ViT
from torch import nn

import optkit
from optkit_core.group_rules.name_folding import folded

NORM = {"module": "norm", "weight_decay": 0.0}
BIAS = {"match": "*.bias", "weight_decay": 0.0}
OURS: dict[Any, list[dict[str, Any]]] = {
    ViT: [
        {"ndim": [0, 1], "weight_decay": 0.0},
        {"match": ["cls_token", "pos_embed"], "weight_decay": 0.0},
    ],
    GPT: [NORM, {"match": "wpe.*", "weight_decay": 0.0}],
    ConvNet: [NORM, BIAS],
}
"""What an expert decides about each model."""


def decaying(groups: Any, model: nn.Module) -> list[str]:
    decayed = {id(p) for group in groups for p in group["params"] if group["weight_decay"]}
    return [name for name, p in model.named_parameters() if id(p) in decayed]


def too_many(build: Any, theirs: Any) -> list[str]:
    """Return what decays by another grouping and not by ours, after the other way around."""
    model = build()
    ours = decaying(optkit.groups(model, OURS[build], default={"weight_decay": 0.1}), model)
    found = theirs(model)
    assert set(ours) <= set(found)
    return folded(name for name in found if name not in ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "more"),
    [
        (ViT, ["cls_token", "pos_embed", "blocks.{0..1}.ls1.gamma"]),
        (GPT, ["wpe.weight", "h.{0..1}.ln_1.weight", "h.{0..1}.ln_2.weight", "ln_f.weight"]),
        (ConvNet, ["stem.1.weight", "stages.{0..1}.blocks.{0..1}.grn.{gamma,beta}"]),
    ],
)
def test_what_trainer_decays_beyond_that(build: Any, more: list[str]) -> None:
    trainer = pytest.importorskip("transformers").Trainer

    def theirs(model: nn.Module) -> list[str]:
        return list(trainer.get_decay_parameter_names(SimpleNamespace(), model))

    found = too_many(build, lambda m: [n for n, _ in m.named_parameters() if n in theirs(m)])
    assert found == more


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "more"),
    [
        (ViT, ["cls_token", "pos_embed"]),
        (GPT, ["wpe.weight"]),
        (ConvNet, ["stages.{0..1}.blocks.{0..1}.grn.{gamma,beta}"]),
    ],
)
def test_what_timm_decays_beyond_that(build: Any, more: list[str]) -> None:
    try:
        from timm.optim import param_groups_weight_decay
    except (ImportError, RuntimeError):  # torchvision may be of another torch
        pytest.skip("timm can't be imported here")
    found = too_many(build, lambda m: decaying(param_groups_weight_decay(m, 0.1), m))
    assert found == more
