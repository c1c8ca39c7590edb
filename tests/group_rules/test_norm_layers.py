"""Which modules count as norm layers."""

from __future__ import annotations

import pytest
import torch
from norm_classes import NORMS, OTHERS
from torch import nn

import optkit
from optkit_core.group_rules.norm_layers import TORCHS, is_norm


@pytest.mark.parametrize("name", NORMS)
def test_is_a_norm_layer(name: str) -> None:
    assert is_norm(NORMS[name]())


@pytest.mark.parametrize("name", OTHERS)
def test_is_none(name: str) -> None:
    assert not is_norm(OTHERS[name]())


def test_every_norm_layer_of_torch_with_parameters_is_listed() -> None:
    modules = [nn.modules.batchnorm, nn.modules.instancenorm, nn.modules.normalization]
    public = {
        cls
        for module in modules
        for name in module.__all__
        if (cls := getattr(module, name)).__name__ not in ("LocalResponseNorm", "CrossMapLRN2d")
    }
    assert public == set(TORCHS)


def test_no_code_of_the_module_runs() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("called")
            return x.mean() * self.weight

    assert is_norm(Counting())


def test_a_recursive_forward_ends() -> None:
    class Recursive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.forward(x) * self.weight

    assert not is_norm(Recursive())


def test_the_rule_takes_their_parameters_and_no_others() -> None:
    names = {**NORMS, **OTHERS}
    model = nn.ModuleDict(
        {key.replace(" ", "_").replace("'", ""): make() for key, make in names.items()}
    )
    made = optkit.groups(
        model, [{"module": "norm", "weight_decay": 0.0}], default={"weight_decay": 0.1}
    )
    found = {name.split(".")[0] for g in made if not g["weight_decay"] for name in g["param_names"]}
    of_norms = {key.replace(" ", "_").replace("'", "") for key in NORMS}
    # Layers with others inside that aren't of their kind: what is in them counts by itself.
    assert found == of_norms
    left = [name for g in made if g["weight_decay"] for name in g["param_names"]]
    assert "BatchNormAct.act.weight" in left


def test_the_table_names_what_it_took_and_what_it_left() -> None:
    model = nn.Sequential(*(NORMS[name]() for name in ("RMSNorm", "GroupNorm")))
    model.append(OTHERS["DynamicTanh"]())
    model.append(OTHERS["PReLU"]())
    made = optkit.groups(model, [{"module": "norm", "weight_decay": 0.0}], default={})
    assert "norm layers: RMSNorm, GroupNorm; not norm: DynamicTanh\n" in made.table() + "\n"
