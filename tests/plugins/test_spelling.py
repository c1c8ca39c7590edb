"""Names as people type them: each algorithm is found by every spelling of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS

import optkit
from optkit.cli import main
from optkit_core import UnknownAlgorithmError

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "with hyphens": lambda name: name.replace("_", "-"),
    "without underscores": lambda name: name.replace("_", ""),
    "the class": lambda name: optkit.get(name).__name__,
    "between letters": "_".join,
    "mixed": lambda name: f"{name[:2].title()}-{name[2:]}",
}
each_spelling = pytest.mark.parametrize("spelling", SPELLINGS)

TYPED = {
    "rms_prop": "rmsprop",
    "adam_w": "adamw",
    "AdamW": "adamw",
    "ada_max": "adamax",
    "ada_grad": "adagrad",
    "r_adam": "radam",
    "l_bfgs": "lbfgs",
    "L-BFGS": "lbfgs",
    "SparseAdam": "sparseadam",
    "sparse_adam": "sparseadam",
    "schedulefree_adamw": "schedulefree_adamw",
    "schedule_free_adamw": "schedulefree_adamw",
    "Schedule-Free-SGD": "schedulefree_sgd",
}


@each_spelling
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_name_is_found_by_every_spelling(name: str, spelling: str) -> None:
    typed = SPELLINGS[spelling](name)
    assert optkit.get(typed) is optkit.get(name)
    assert optkit.get(f"OptKit:{typed}") is optkit.get(name)
    assert optkit.describe(typed).name == name
    assert optkit.available(typed) == [name]


@pytest.mark.parametrize(("typed", "name"), TYPED.items())
def test_names_that_people_type(typed: str, name: str) -> None:
    assert optkit.get(typed) is optkit.get(name)


def test_optimizers_are_created_by_them_in_groups_too() -> None:
    assert type(optkit.create("ADA_GRAD", [torch.ones(2)])) is optkit.Adagrad
    other = {"params": [torch.ones(3)], "algorithm": "Ada-Max"}
    optimizer = optkit.create("rms_prop", [{"params": [torch.ones(2)]}, other])
    assert [group["algorithm"] for group in optimizer.param_groups] == ["rmsprop", "adamax"]


@pytest.mark.parametrize("command", ["show", "explain"])
def test_the_command_line_takes_them(command: str, capsys: Any) -> None:
    assert main([command, "Ada_Max"]) == 0
    assert "adamax" in capsys.readouterr().out.lower()


@pytest.mark.parametrize(
    "typo", [lambda name: name[:-1], lambda name: name + name[-1], lambda name: "x" + name]
)
@pytest.mark.parametrize("name", [name for name in ALGORITHMS if len(name) > 4])
def test_an_almost_right_name_is_told_the_right_one(name: str, typo: Any) -> None:
    typed = typo(name)
    if optkit.available(typed):
        pytest.skip("the name of another algorithm")
    with pytest.raises(UnknownAlgorithmError, match=f"Did you mean .*{name!r}"):
        optkit.get(typed)


def test_patterns_are_spelled_freely_too() -> None:
    assert optkit.available("Schedule-Free*") == ["schedulefree_adamw", "schedulefree_sgd"]
    assert optkit.available("ADA_ma*") == ["adamax"]
    assert "sgd" in optkit.available("[a-z]*")
