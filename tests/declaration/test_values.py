"""Values of hyperparameters: what is accepted is kept as Python's own, and what isn't says why."""

from __future__ import annotations

import enum
import io
import math
import pickle
from array import array
from collections import UserDict, UserList
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from algorithms import ALGORITHMS, NAMES

import optkit
from optkit import LBFGS, SGD, Adamax, HyperparameterError
from optkit_core import Elementwise, ImplementationError, hyperparameter, one_of, option
from optkit_core.param_groups import groups
from optkit_core.param_groups.builtin_values import plain


class Mode(str, enum.Enum):  # noqa: UP042  str() of a StrEnum is its text
    """Names that are more than text."""

    FOREACH = "foreach"
    UNIT = "unit"
    SEARCH = "strong_wolfe"


class Anything:
    """A range that has no method of its own for what is kept."""

    def complaint(self, name: str, value: Any) -> str:
        return ""


class Lists(Elementwise):
    """An algorithm whose values are of a third party's range."""

    schedule: Any = hyperparameter(default=(), range=Anything())
    kind: str | None = option(default=None, range=one_of(None, "a", True))

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        p.sub_(g)


def parameter() -> torch.nn.Parameter:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    return p


KEPT = [
    (Adamax, "lr", Fraction(1, 10), 0.1),
    (Adamax, "lr", Decimal("0.1"), 0.1),
    (Adamax, "lr", np.float32(0.5), 0.5),
    (Adamax, "lr", np.float64(0.1), 0.1),
    (Adamax, "lr", np.longdouble(0.5), 0.5),
    (Adamax, "lr", np.array(0.25), 0.25),
    (Adamax, "lr", np.int64(1), 1),
    (Adamax, "lr", 1, 1),
    (Adamax, "betas", [0.5, 0.75], (0.5, 0.75)),
    (Adamax, "betas", UserList([0.5, 0.75]), (0.5, 0.75)),
    (Adamax, "betas", np.array([0.5, 0.75]), (0.5, 0.75)),
    (Adamax, "betas", array("d", [0.5, 0.75]), (0.5, 0.75)),
    (Adamax, "betas", torch.Size([0, 0]), (0, 0)),
    (Adamax, "betas", (Fraction(1, 2), np.float32(0.75)), (0.5, 0.75)),
    (Adamax, "maximize", np.bool_(True), True),
    (Adamax, "maximize", 1, True),
    (Adamax, "maximize", np.array(False), False),
    (Adamax, "foreach", np.bool_(True), True),
    (Adamax, "implementation", UserDict(cpu="foreach"), {"cpu": "foreach"}),
    (Adamax, "implementation", Mode.FOREACH, "foreach"),
    (Adamax, "implementation", np.str_("foreach"), "foreach"),
    (LBFGS, "max_iter", np.int32(3), 3),
    (LBFGS, "history_size", np.array(3), 3),
    (LBFGS, "initial_step", Mode.UNIT, "unit"),
    (LBFGS, "line_search_fn", Mode.SEARCH, "strong_wolfe"),
    (LBFGS, "history_dtype", np.str_("bfloat16"), "bfloat16"),
    (LBFGS, "tolerance_grad", np.float32(math.inf), math.inf),
    (Lists, "schedule", UserList([UserDict(a=np.float32(1)), (Decimal(2),)]), [{"a": 1.0}, (2.0,)]),
    (Lists, "schedule", np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    (Lists, "kind", np.str_("a"), "a"),
]


def types(value: Any) -> Any:
    """Return the types in a value, so that True and 1, or a text and its like, differ."""
    if isinstance(value, dict):
        return [dict, *map(types, [*value, *value.values()])]
    return [type(value), *map(types, value)] if isinstance(value, (list, tuple)) else type(value)


@pytest.mark.parametrize("way", ["constructor", "group", "add_param_group"])
@pytest.mark.parametrize(("cls", "name", "given", "kept"), KEPT, ids=lambda v: repr(v)[:40])
def test_values_are_kept_as_pythons_own(
    cls: Any, name: str, given: Any, kept: Any, way: str, tmp_path: Path
) -> None:
    group = {"params": [parameter()], name: given}
    if way == "constructor":
        optimizer = cls(group["params"], **{name: given})
        assert (optimizer.defaults[name], types(optimizer.defaults[name])) == (kept, types(kept))
    elif way == "group":
        optimizer = cls([group])
    else:
        optimizer = cls([parameter()], **({name: kept} if cls is LBFGS else {}))
        optimizer.add_param_group(group)
    value = optimizer.param_groups[-1][name]
    assert (value, types(value)) == (kept, types(kept))
    survives_a_checkpoint(optimizer, tmp_path)


def survives_a_checkpoint(optimizer: Any, folder: Path) -> None:
    """Save an optimizer in each way after a step, and load it."""
    optimizer.step(lambda: torch.tensor(1.0))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    optimizer.load_state_dict(torch.load(file, weights_only=True))
    optkit.save(optimizer, folder / "file")
    optkit.load(optimizer, folder / "file")
    pickle.loads(pickle.dumps(optimizer))


@pytest.mark.parametrize("cls", [ALGORITHMS[name] for name in NAMES], ids=NAMES)
def test_a_tensor_stays_the_tensor(cls: Any) -> None:
    lr = torch.tensor(0.5)
    optimizer = cls([{"params": [parameter()]}, {"params": [parameter()], "lr": lr}], lr=lr)
    assert optimizer.defaults["lr"] is lr
    assert all(group["lr"] is lr for group in optimizer.param_groups)


def test_defaults_are_kept_as_pythons_own_too() -> None:
    class Listed(Adamax):
        betas: tuple[float, float] = hyperparameter(
            default=[np.float32(0.5), 0.75], range=Adamax.declarations["betas"].range
        )

    assert types(Listed([parameter()]).defaults["betas"]) == [tuple, float, float]


def test_a_list_of_the_users_is_not_shared() -> None:
    betas = [0.5, 0.75]
    optimizer = Adamax([parameter()], betas=betas)
    betas[0] = 7.0
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.75)
    assert Adamax.Hyperparameters(betas=betas[1:] * 2).betas == (0.75, 0.75)


REFUSED = [
    (Adamax, "lr", "1e-3", "got '1e-3', which is text, as YAML 1.1 reads 1e-3: write 1.0e-3."),
    (Adamax, "lr", "1E3", "got '1E3', which is text, as YAML 1.1 reads 1E3: write 1.0e+3."),
    (Adamax, "lr", "1.5e3", "as YAML 1.1 reads 1.5e3: write 1.5e+3."),
    (Adamax, "lr", "1.0e-3", "got '1.0e-3', which is text: write 1.0e-3 without quotes."),
    (Adamax, "lr", "0.1", "must be a number in [0, inf), got '0.1', which is text: write 0.1 with"),
    (Adamax, "lr", "fast", "must be a number in [0, inf), got 'fast'."),
    (Adamax, "lr", "inf", "as YAML 1.1 reads inf: write .inf."),
    (Adamax, "lr", Decimal("sNaN"), "must be in [0, inf), got Decimal('sNaN')."),
    (Adamax, "lr", 10**400, "must be in [0, inf), got 1000"),
    (Adamax, "lr", np.bool_(True), "must be a number in [0, inf), got True."),
    (Adamax, "lr", np.dtype("float32"), "must be a number in [0, inf), got dtype('float32')."),
    (Adamax, "betas", "(0.9, 0.99)", "as YAML 1.1 reads (0.9, 0.99): write [0.9, 0.99]."),
    (Adamax, "betas", ["0.9", 0.99], "betas[0] must be a number in [0, 1), got '0.9', which is"),
    (Adamax, "betas", b"\0\0", "must be 2 values, each in [0, 1), got b'\\x00\\x00'."),
    (Adamax, "betas", {0.1, 0.2}, "must be 2 values"),
    (
        Adamax,
        "maximize",
        "True",
        "must be True or False, got 'True', which is text: write True without",
    ),
    (Adamax, "foreach", "None", "got 'None', which is text, as YAML 1.1 reads None: write null."),
    (LBFGS, "max_iter", "20", "got '20', which is text: write 20 without quotes."),
    (LBFGS, "tolerance_grad", math.nan, "tolerance_grad must be in [-inf, inf], got nan."),
    (SGD, "dampening", -math.inf, "dampening must be in (-inf, inf), got -inf."),
]


@pytest.mark.parametrize(("cls", "name", "value", "words"), REFUSED, ids=lambda v: repr(v)[:30])
@pytest.mark.parametrize("way", ["constructor", "group", "later"])
def test_refused_values_say_what_to_write(
    cls: Any, name: str, value: Any, words: str, way: str
) -> None:
    group = {"params": [parameter()], name: value}
    with pytest.raises(HyperparameterError) as raised:
        if way == "constructor":
            cls(group["params"], **{name: value})
        elif way == "group":
            cls([group])
        else:
            groups.check_group(cls, group)
    assert words in str(raised.value)
    assert group[name] is value


def test_a_changed_group_is_checked_and_converted() -> None:
    group = Adamax([parameter()]).param_groups[0]
    group.update(lr=Fraction(1, 4), betas=[0.5, 0.75], maximize=np.bool_(True), note=np.eye(2))
    note = group["note"]
    groups.check_group(Adamax, group)
    assert (group["lr"], group["betas"], group["maximize"]) == (0.25, (0.5, 0.75), True)
    assert types([group["lr"], group["betas"], group["maximize"]]) == [
        list,
        float,
        [tuple, float, float],
        bool,
    ]
    assert group["note"] is note


def test_a_group_that_is_refused_stays_as_it_was() -> None:
    group = Adamax([parameter()]).param_groups[0]
    group.update(lr=Fraction(1, 4), weight_decay=-1)
    before = dict(group)
    with pytest.raises(HyperparameterError, match="weight_decay must be in"):
        groups.check_group(Adamax, group)
    group.update(weight_decay=0.0, implementation="foreach", fused=True)
    with pytest.raises(ImplementationError, match="contradicts"):
        groups.check_group(Adamax, group)
    assert group["lr"] is before["lr"]


def test_a_group_without_a_declared_name_is_checked_for_the_others() -> None:
    group = {"lr": -1.0}
    with pytest.raises(HyperparameterError, match="lr must be in"):
        groups.check_group(Adamax, group)
    group = {"lr": 1}
    groups.check_group(Adamax, group)
    assert group == {"lr": 1}


@pytest.mark.parametrize(
    "value", [3, 0.5, True, None, "text", 1j, object(), print, torch.ones(2), np.float32]
)
def test_what_is_pythons_own_or_unknown_stays_itself(value: Any) -> None:
    assert plain(value) is value


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize(
    ("given", "is_at_once"),
    [
        ({"tolerance_grad": math.inf}, True),
        ({"tolerance_grad": -math.inf, "tolerance_change": 0.0}, False),
        ({"tolerance_change": math.inf}, True),
        ({"tolerance_change": -math.inf, "tolerance_grad": 0.0}, False),
    ],
    ids=str,
)
def test_infinite_tolerances_are_torchs(search: Any, given: Any, is_at_once: bool) -> None:
    ends = []
    for cls in (LBFGS, torch.optim.LBFGS):
        x = torch.nn.Parameter(torch.tensor([3.0, -1.0], dtype=torch.float64))
        options = {"lr": 0.01, "max_iter": 6, "max_eval": 30, "line_search_fn": search}
        optimizer, calls = cls([x], **options, **given), []

        def closure(optimizer: Any = optimizer, x: Any = x, calls: Any = calls) -> Any:
            optimizer.zero_grad()
            loss = x.pow(4).sum() + x.square().sum()
            loss.backward()
            calls.append(loss.item())
            return loss

        optimizer.step(closure)
        ends.append((len(calls), x.detach()))
    assert ends[0][0] == ends[1][0]
    assert (ends[0][0] == 1) == is_at_once
    torch.testing.assert_close(ends[0][1], ends[1][1])
