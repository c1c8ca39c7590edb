"""Which parameters a rule claims, and what is said where it claims none."""

from __future__ import annotations

from typing import Any

import pytest
from grouped_models import GPT, ConvNet, ViT
from torch import nn

import optkit
from optkit_core import RuleError


def claimed(model: nn.Module, **selection: Any) -> list[str]:
    made = optkit.groups(model, [{**selection, "lr": 0.5}], default={"lr": 0.1})
    return [name for g in made if g["lr"] == 0.5 for name in g["param_names"]]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ({"match": "norm.*"}, ["norm.weight", "norm.bias"]),
        ({"match": "*.ls1.*"}, ["blocks.0.ls1.gamma", "blocks.1.ls1.gamma"]),
        ({"match": "blocks.[1-9].norm?.bias"}, ["blocks.1.norm1.bias", "blocks.1.norm2.bias"]),
        ({"match": "blocks.{}.ls1.*"}, ["blocks.0.ls1.gamma", "blocks.1.ls1.gamma"]),
        ({"match": ["*_token", "head.bias"]}, ["cls_token", "head.bias"]),
        ({"match": "norm.*", "ndim": 1}, ["norm.weight", "norm.bias"]),
        ({"names": ["head.weight", "norm.bias"]}, ["norm.bias", "head.weight"]),
        ({"names": "pos_embed"}, ["pos_embed"]),
        ({"ndim": [3, 4]}, ["cls_token", "pos_embed", "patch_embed.weight"]),
        ({"module": "LayerScale"}, ["blocks.0.ls1.gamma", "blocks.1.ls1.gamma"]),
        ({"module": "_ConvNd"}, ["patch_embed.weight", "patch_embed.bias"]),
        ({"module": "torch.nn.modules.conv.Conv2d", "ndim": 1}, ["patch_embed.bias"]),
        (
            {"module": ["ViT", "Conv2d"], "match": "p*"},
            ["pos_embed", "patch_embed.weight", "patch_embed.bias"],
        ),
        ({"module": "norm", "match": "norm.*"}, ["norm.weight", "norm.bias"]),
    ],
)
def test_what_is_claimed(selection: dict[str, Any], names: list[str]) -> None:
    assert claimed(ViT(), **selection) == names


def test_a_star_and_a_dot_are_every_name_that_ends_so() -> None:
    assert claimed(nn.Linear(2, 1), match=r"*.bias") == ["bias"]
    assert claimed(nn.Sequential(nn.Linear(2, 1)), match=r"*.bias") == ["0.bias"]


def test_patterns_heed_case() -> None:
    with pytest.raises(RuleError, match=r"'match': 'Norm.*' fits nothing"):
        claimed(ViT(), match="Norm.*")


@pytest.mark.parametrize(
    ("selection", "key", "message"),
    [
        (
            {"match": "blokcs.*.bias"},
            "match",
            r"Did you mean 'blocks.\*.bias'\? There are cls_token",
        ),
        (
            {"match": ["*.bias", "cls_tokne"]},
            "match",
            "'cls_tokne' fits .* Did you mean 'cls_token'",
        ),
        ({"match": "zzz"}, "match", r"'zzz' fits nothing\. There are cls_token, pos_embed"),
        ({"names": ["norm.weihgt"]}, "names", "Did you mean 'norm.weight'"),
        ({"names": "norm.*"}, "names", r"'norm.\*' fits nothing"),
        ({"module": "LayerNrom"}, "module", "Did you mean 'LayerNorm'"),
        ({"module": ["LayerNorm", "BatchNorm2d"]}, "module", "'BatchNorm2d' fits nothing"),
        (
            {"module": "Attention"},
            "module",
            "class of the module that has the parameter itself, .* there are ViT, Conv2d,",
        ),
        (
            {"match": "blocks.*", "ndim": 3},
            None,
            r"no parameter is of match 'blocks.\*' and ndim 3",
        ),
        ({"module": "norm", "ndim": 2}, None, "no parameter is of module 'norm' and ndim 2"),
    ],
)
def test_a_rule_that_claims_nothing_is_refused(
    selection: dict[str, Any], key: str | None, message: str
) -> None:
    with pytest.raises(RuleError, match=message) as caught:
        claimed(ViT(), **selection)
    assert (caught.value.index, caught.value.key) == (0, key)


def test_a_model_without_norm_layers() -> None:
    with pytest.raises(RuleError, match=r"No module with parameters is a norm layer; .* Linear"):
        claimed(nn.Sequential(nn.Linear(2, 2)), module="norm")


def test_modules_are_asked_for_where_there_are_none() -> None:
    rule = {"module": "LayerNorm", "lr": 0.1}
    with pytest.raises(RuleError, match=r"'module' asks for the modules.* Pass the model"):
        optkit.groups(ViT().named_parameters(), [rule], default={})


def test_dimensions_are_asked_for_before_there_are_any() -> None:
    model = nn.Sequential(nn.LazyLinear(2), nn.LazyBatchNorm1d())
    with pytest.raises(RuleError, match=r"'0.weight' has no shape before"):
        claimed(model, ndim=1)
    assert claimed(model, module="norm") == ["1.weight", "1.bias"]


@pytest.mark.parametrize("build", [ViT, GPT, ConvNet])
def test_selections_add_up_to_the_model(build: Any) -> None:
    model = build()
    names = [name for name, _ in model.named_parameters()]
    by_dims = {
        name
        for n in range(5)
        if any(p.dim() == n for p in model.parameters())
        for name in claimed(model, ndim=n)
    }
    assert (
        by_dims == set(names) == set(claimed(model, names=names)) == set(claimed(model, match=r"*"))
    )
