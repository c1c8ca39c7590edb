"""The table of groups, and the names in it."""

from __future__ import annotations

import copy
import pickle

import hypothesis
import pytest
import torch
from grouped_models import GPT, ConvNet, ViT
from hypothesis import strategies as st
from torch import nn

import optkit
from optkit_core.group_rules.name_folding import folded


def unfolded(text: str) -> list[str]:
    """Return the names that a folded one stands for."""
    start, brace, rest = text.partition("{")
    if not brace:
        return [text]
    inside, _, end = rest.partition("}")
    items: list[str] = []
    for item in inside.split(","):
        first, dots, last = item.partition("..")
        items += map(str, range(int(first), int(last) + 1)) if dots else [item]
    return [start + item + tail for item in items for tail in unfolded(end)]


PARTS = st.sampled_from(["a", "b", "w", "0", "1", "2", "3", "10"])
NAMES = st.lists(st.lists(PARTS, min_size=1, max_size=4).map(".".join), unique=True, max_size=30)


@hypothesis.given(NAMES)
def test_folded_names_stand_for_exactly_those_given(names: list[str]) -> None:
    assert sorted(name for text in folded(names) for name in unfolded(text)) == sorted(names)


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (["a", "b"], ["a", "b"]),
        ([f"h.{i}.w" for i in (0, 1, 2, 4, 6, 7)], ["h.{0..2,4,6..7}.w"]),
        (["n.weight", "n.bias"], ["n.{weight,bias}"]),
        (
            [f"s.{i}.b.{j}.w" for i, count in enumerate((2, 2, 3)) for j in range(count)],
            ["s.{0..1}.b.{0..1}.w", "s.2.b.{0..2}.w"],
        ),
    ],
)
def test_folded_names(names: list[str], texts: list[str]) -> None:
    assert folded(names) == texts


def test_the_table_says_who_gave_what() -> None:
    rules = [
        {"match": "*.bias", "weight_decay": 0.0},
        {"module": "norm", "weight_decay": 0.0},
        {"match": "blocks.*", "ndim": 2, "algorithm": "muon", "lr": 0.02},
        {"match": "*", "layer_decay": 0.5},
        {"match": "cls_token", "frozen": True},
    ]
    model = ViT()
    model.pos_embed.requires_grad_(False)
    made = optkit.groups(model, rules, default={"algorithm": "adamw", "lr": 1e-3})
    text = made.table()
    assert str(made) == text
    assert text == TABLE


TABLE = """\
10 groups of adamw and muon, 32 of 34 tensors, 1,299 of 1,347 elements

group  tensors  elements  options, and parameters that have them
    0        1        32  lr=0.000125 (default × rule 3)
                          patch_embed.weight
    1        1         8  lr=0.000125 (default × rule 3), weight_decay=0 (rule 0)
                          patch_embed.bias
    2        8        88  lr=0.00025 (default × rule 3), weight_decay=0 (rule 0 or rule 1)
                          blocks.0.norm1.{weight,bias}, blocks.0.attn.qkv.bias,
                          blocks.0.attn.proj.bias, blocks.0.norm2.{weight,bias},
                          blocks.0.mlp.fc1.bias, blocks.0.mlp.fc2.bias
    3        4       512  algorithm=muon (rule 2), lr=0.005 (rule 2 × rule 3)
                          blocks.0.attn.qkv.weight, blocks.0.attn.proj.weight,
                          blocks.0.mlp.fc1.weight, blocks.0.mlp.fc2.weight
    4        1         8  lr=0.00025 (default × rule 3)
                          blocks.0.ls1.gamma
    5        8        88  lr=0.0005 (default × rule 3), weight_decay=0 (rule 0 or rule 1)
                          blocks.1.norm1.{weight,bias}, blocks.1.attn.qkv.bias,
                          blocks.1.attn.proj.bias, blocks.1.norm2.{weight,bias},
                          blocks.1.mlp.fc1.bias, blocks.1.mlp.fc2.bias
    6        4       512  algorithm=muon (rule 2), lr=0.01 (rule 2 × rule 3)
                          blocks.1.attn.qkv.weight, blocks.1.attn.proj.weight,
                          blocks.1.mlp.fc1.weight, blocks.1.mlp.fc2.weight
    7        1         8  lr=0.0005 (default × rule 3)
                          blocks.1.ls1.gamma
    8        3        19  lr=0.001 (default × rule 3), weight_decay=0 (rule 0 or rule 1)
                          norm.{weight,bias}, head.bias
    9        1        24  lr=0.001 (default × rule 3)
                          head.weight

rule         tensors  claims: says
default           26  algorithm='adamw', lr=0.001
rule 0            15  match '*.bias': weight_decay=0.0
rule 1            10  module 'norm': weight_decay=0.0
                      norm layers: LayerNorm; not norm: LayerScale
rule 2             8  match 'blocks.*' and ndim 2: algorithm='muon', lr=0.02
rule 3            34  match '*': layer_decay=0.5
                      depths 0 to 3: 2 × ViTBlock (blocks.*)
rule 4             1  match 'cls_token': frozen=True
frozen             1  cls_token
no gradient        1  pos_embed"""


def test_the_table_says_where_a_rule_had_no_say() -> None:
    rules = [
        {"match": "h.*", "ndim": 2, "algorithm": "muon"},
        {"match": "h.0.*", "algorithm": "adamw"},
        {"match": "h.*", "weight_decay": 0.0},
    ]
    text = optkit.groups(GPT(), rules, default={"algorithm": "adamw"}).table()
    after = text.partition("\nrule 0 ")[2].splitlines()
    assert after[0].split()[0] == "8"
    assert after[1].strip() == "holds for 4; later rules give the others another algorithm"
    assert text.count("holds for") == 1


def test_lines_fit_a_hundred_columns() -> None:
    rules = [
        {"module": "norm", "weight_decay": 0.0},
        {"match": "*", "layer_decay": 0.5, "blocks": "ConvBlock"},
    ]
    made = optkit.groups(ConvNet(depth=9), rules, default={"algorithm": "adamw"})
    lines = made.table(parameters=True).splitlines()
    assert max(map(len, lines)) <= 100


def test_each_parameter_has_a_line_where_asked() -> None:
    model = GPT()
    rules = [{"module": "norm", "weight_decay": 0.0}, {"match": "wpe.*", "frozen": True}]
    text = optkit.groups(model, rules, default={}).table(parameters=True)
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    for name, p in model.named_parameters():
        assert lines[name][: p.dim()] == [*str(tuple(p.shape)).split()]
    assert lines["wpe.weight"][2:] == ["frozen", "default,", "rule", "1"]
    assert lines["ln_f.weight"][1:] == ["1", "default,", "rule", "0"]
    assert "tied: wte.weight is lm_head.weight too, and goes once." in text


def test_lazy_parameters_have_no_size_yet() -> None:
    text = optkit.groups(nn.LazyLinear(2), [], default={}).table(parameters=True)
    assert "1 group, 2 of 2 tensors, ? of ? elements" in text


def test_the_list_can_be_copied_and_pickled() -> None:
    made = optkit.groups(nn.Linear(2, 1), [{"match": "*", "lr": torch.tensor(0.5)}])
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert str(twin) == str(made)
        assert twin[0]["param_names"] == made[0]["param_names"]
    assert made.copy()[0] is made[0]
