"""Layer-wise decay: how deep in a model its parameters lie."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from grouped_models import GPT, ConvBlock, ConvNet, GPTBlock, ViT, ViTBlock
from torch import nn

import optkit
from optkit_core import RuleError

DECAY = 0.5


def depths(model: Any, **rule: Any) -> dict[str, int]:
    """Return the power of the decay that each parameter of the rule has."""
    made = optkit.groups(model, [{"match": "*", "layer_decay": DECAY, **rule}], default={"lr": 1.0})
    powers = {DECAY**power: power for power in range(40)}
    return {name: powers[g["lr"]] for g in made for name in g["param_names"]}


def towers() -> nn.Module:
    model = nn.Module()
    model.text = nn.ModuleDict(
        {"embed": nn.Embedding(3, 4), "h": nn.ModuleList(GPTBlock(4) for _ in range(2))}
    )
    model.vision = nn.ModuleDict(
        {
            "stem": nn.Linear(4, 4),
            "blocks": nn.ModuleList(ViTBlock(4) for _ in range(3)),
            "norm": nn.LayerNorm(4),
        }
    )
    return model


def test_before_in_and_after_the_blocks() -> None:
    found = depths(ViT(depth=3))
    assert found["cls_token"] == found["pos_embed"] == found["patch_embed.bias"] == 4
    for i in range(3):
        own = {power for name, power in found.items() if name.startswith(f"blocks.{i}.")}
        assert own == {3 - i}
    assert found["norm.weight"] == found["head.bias"] == 0


def test_a_tied_parameter_lies_where_its_first_name_does() -> None:
    assert depths(GPT(depth=2))["wte.weight"] == 3


@pytest.mark.parametrize("wrap", [partial(torch.compile, backend="eager"), nn.DataParallel])
def test_wrappers_change_nothing(wrap: Any) -> None:
    plain = depths(ViT())
    wrapped = depths(wrap(ViT()))
    assert list(wrapped.values()) == list(plain.values())


@pytest.mark.parametrize(
    "kind", [nn.Sequential, lambda *m: nn.ModuleDict({f"b{i}": x for i, x in enumerate(m)})]
)
def test_other_lists_hold_blocks_too(kind: Any) -> None:
    model = nn.ModuleDict(
        {"stem": nn.Linear(4, 4), "layers": kind(*(GPTBlock(4) for _ in range(2)))}
    )
    assert sorted(set(depths(model).values())) == [1, 2, 3]


def test_blocks_in_stages_are_the_layers() -> None:
    assert depths(ConvNet()) == depths(ConvNet(), blocks="ConvBlock")
    by_rule = depths(ConvNet(), match="stages.1.*")
    assert by_rule["stages.1.blocks.1.norm.bias"] == 1, "a rule for one stage counts all blocks"


def test_stages_may_be_lists_with_blocks_of_several_classes() -> None:
    """As in EfficientNet, whose first stage has one block, of another class."""
    stages = [[GPTBlock(4)], [ViTBlock(4), ViTBlock(4)], [GPTBlock(4), GPTBlock(4)]]
    body = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages))
    model = nn.Sequential(OrderedDict(stem=nn.Linear(4, 4), blocks=body, norm=nn.LayerNorm(4)))
    found = depths(model)
    firsts = [found[f"blocks.{stage}.attn.qkv.weight"] for stage in ("0.0", "1.0", "1.1", "2.0")]
    assert (found["stem.bias"], firsts, found["norm.bias"]) == (6, [5, 4, 3, 2], 0)


class Stage(nn.Module):
    """Blocks, and what somebody has put beside them."""

    def __init__(self, blocks: nn.Module, **beside: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.blocks = blocks
        for name, value in beside.items():
            setattr(self, name, value)


def two() -> list[nn.Module]:
    return [GPTBlock(4), GPTBlock(4)]


NO_STAGES: dict[str, Callable[[], nn.Module]] = {
    "experts": lambda: Stage(nn.ModuleList(two()), gate=nn.Linear(4, 2)),
    "sublayers": lambda: Stage(
        nn.Sequential(*two()), norm=nn.LayerNorm(4), attention=nn.Linear(4, 4)
    ),
    "own": lambda: Stage(nn.Sequential(*two()), scale=nn.Parameter(torch.ones(1))),
    "parallel": lambda: Stage(nn.Sequential(*two()), others=nn.Sequential(*two())),
}


@pytest.mark.parametrize("stage", NO_STAGES.values(), ids=NO_STAGES)
def test_what_may_not_be_stages_has_to_be_told_apart(stage: Callable[[], nn.Module]) -> None:
    model = nn.ModuleDict({"stages": nn.Sequential(stage(), stage())})
    with pytest.raises(RuleError) as caught:
        depths(model)
    message = str(caught.value)
    assert "2 × Stage (stages.*), 4 × GPTBlock (stages.*.blocks.*)" in message
    assert "'blocks': 'ItsClass'" in message
    assert max(depths(model, blocks="Stage").values()) == 2


def test_one_stage_without_blocks_is_told() -> None:
    mixed = [Stage(nn.Sequential(*two())), Stage(nn.Linear(4, 4))]
    with pytest.raises(RuleError, match="several stacks"):
        depths(nn.ModuleDict({"stages": nn.ModuleList(mixed)}))


def test_blocks_are_counted_through_the_stages() -> None:
    found = depths(ConvNet(), blocks="ConvBlock")
    assert found["stem.0.weight"] == found["stages.0.downsample.weight"] == 5
    assert [found[f"stages.{i}.blocks.{j}.norm.bias"] for i in (0, 1) for j in (0, 1)] == [
        4,
        3,
        2,
        1,
    ]
    # Between the stages, with the block that follows.
    assert found["stages.1.downsample.bias"] == 2
    assert found["head.weight"] == 0


def test_stages_themselves_may_be_the_layers() -> None:
    found = depths(ConvNet(), blocks="ConvStage")
    assert (found["stem.1.bias"], found["stages.0.downsample.bias"], found["head.bias"]) == (
        3,
        2,
        0,
    )


def test_stages_that_are_attributes_with_numbers() -> None:
    model = nn.Module()
    model.stem = nn.Conv2d(1, 4, 3)
    for i in range(1, 4):
        setattr(model, f"layer{i}", nn.Sequential(*(ConvBlock(4) for _ in range(i + 1))))
    model.fc = nn.Linear(4, 2)
    found = depths(model)
    assert (found["stem.weight"], found["layer1.0.norm.bias"], found["layer3.3.norm.bias"]) == (
        10,
        9,
        1,
    )


def test_towers_need_a_rule_each() -> None:
    model = towers()
    with pytest.raises(
        RuleError, match=r"several stacks of blocks: 2 × GPTBlock \(text.h.\*\), 3 ×"
    ):
        depths(model)
    rules = [
        {"match": "text.*", "layer_decay": 0.5},
        {"match": "vision.*", "layer_decay": 0.25},
    ]
    made = optkit.groups(model, rules, default={"lr": 1.0})
    found = {name: g["lr"] for g in made for name in g["param_names"]}
    assert found["text.embed.weight"] == 0.5**3
    assert (found["vision.stem.bias"], found["vision.norm.bias"]) == (0.25**4, 1.0)
    assert found["vision.blocks.2.ls1.gamma"] == 0.25


def test_towers_of_one_class_are_not_one_behind_the_other() -> None:
    model = nn.ModuleDict({name: nn.ModuleList(GPTBlock(4) for _ in range(2)) for name in "ab"})
    with pytest.raises(RuleError, match="several stacks"):
        depths(model)
    with pytest.raises(RuleError, match="several stacks"):
        depths(model, blocks="GPTBlock")


def test_a_rule_for_some_of_the_blocks_counts_them_all() -> None:
    found = depths(ViT(depth=4), match=["blocks.0.*", "blocks.1.*"])
    assert {power for name, power in found.items() if name.startswith("blocks.1.")} == {3}
    assert found["head.bias"] == 0  # which the rule doesn't claim


def test_blocks_of_several_classes() -> None:
    blocks = nn.ModuleList([GPTBlock(4), ViTBlock(4), GPTBlock(4)])
    model = nn.ModuleDict({"embed": nn.Embedding(3, 4), "layers": blocks})
    with pytest.raises(RuleError, match=r"Looked for a ModuleList .* found none"):
        depths(model)
    found = depths(model, blocks=["GPTBlock", "ViTBlock"])
    assert found["layers.1.ls1.gamma"] == 2


def test_blocks_inside_a_block_are_parts_of_it() -> None:
    class Nested(GPTBlock):
        def __init__(self) -> None:
            super().__init__(4)
            self.inner = GPTBlock(4)

    model = nn.ModuleDict({"layers": nn.ModuleList([Nested(), Nested()])})
    found = depths(model, blocks="GPTBlock")
    assert found["layers.0.inner.ln_1.weight"] == found["layers.0.ln_1.weight"] == 2


def test_a_single_block_by_its_class() -> None:
    assert sorted(set(depths(ViT(depth=1), blocks="ViTBlock").values())) == [0, 1, 2]


def test_layers_without_blocks_are_given() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with pytest.raises(RuleError, match="Or give the depths, 'depth'"):
        depths(model)
    assert list(depths(model, depth=["{}.*"]).values()) == [2, 2, 1, 1, 0, 0]


def test_depths_as_given() -> None:
    order = [["cls_token", "p*"], "blocks.{}.*", "*"]
    assert depths(ViT(depth=3), depth=order) == depths(ViT(depth=3))
    stages = [
        ["stem.*", "stages.0.downsample.*"],
        "stages.{}.blocks.{}.*",
        ["stages.1.downsample.*", "head.*"],
    ]
    found = depths(ConvNet(), depth=stages)
    assert (found["stages.0.blocks.1.norm.bias"], found["stages.1.blocks.0.norm.bias"]) == (3, 2)
    by_pairs = depths(list(ConvNet().named_parameters()), depth=stages)
    assert by_pairs == found


def test_the_first_pattern_counts() -> None:
    found = depths(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), depth=["0.*", "*.bias", "*"])
    assert found == {"0.weight": 2, "0.bias": 2, "1.bias": 1, "1.weight": 0}


@pytest.mark.parametrize(
    ("model", "rule", "message"),
    [
        (
            ViT(),
            {"depth": ["p*", "blocks.{}.*"]},
            "no place for cls_token, norm.{weight,bias}, head",
        ),
        (ViT(), {"depth": ["embde.*", "*"]}, "'embde.\\*' fits none of the parameters that"),
        (ViT(), {"blocks": "VitBlock"}, "'VitBlock' is the class of no module .* mean 'ViTBlock'"),
        (list(ViT().named_parameters()), {}, "only parameters were given.* 'depth'"),
    ],
)
def test_depths_that_cannot_be_found(model: Any, rule: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=message) as caught:
        depths(model, **rule)
    assert caught.value.index == 0


def test_no_decay_at_all_and_full_decay() -> None:
    made = optkit.groups(ViT(), [{"match": "*", "layer_decay": 1.0}], default={"lr": 0.1})
    assert [g["lr"] for g in made] == [0.1]
    made = optkit.groups(ViT(), [{"match": "*", "layer_decay": 0.0}], default={"lr": 0.1})
    assert [g["lr"] for g in made] == [0.0, 0.1]
