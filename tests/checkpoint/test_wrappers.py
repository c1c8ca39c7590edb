"""Files of optimizers that are wrapped as Lightning and Accelerate do it: they are the inner ones'.

The stand-ins behave as those wrappers do, in what concerns an optimizer's state.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from algorithms import ALGORITHMS, NAMES
from states import OTHERS, fingerprint, state_of
from stepped import named, step

import optkit
from optkit_core import CheckpointError
from optkit_core.checkpoint.file import checkpoint_file


class Imitating:
    """Becomes an instance of the class that it holds one of, without being initialized as such."""

    def __init__(self, held: torch.optim.Optimizer) -> None:
        self.held = held
        name, bases = "Imitating" + type(held).__name__, (type(self), type(held))
        self.__class__ = type(name, bases, {})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.held, name)


class Delegating(Imitating):
    """Hands state on with the arguments that torch has."""

    def state_dict(self) -> dict[str, Any]:
        return self.held.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.held.load_state_dict(state_dict)


class Mirroring(Delegating):
    """Has all attributes of what it holds as its own too."""

    def __init__(self, held: torch.optim.Optimizer) -> None:
        self.__dict__ = dict(vars(held))
        super().__init__(held)


class Holding(torch.optim.Optimizer):
    """An optimizer of no class in particular, whose properties are those of what it holds."""

    def __init__(self, held: torch.optim.Optimizer) -> None:
        self.held = held

    state = property(lambda self: self.held.state)
    param_groups = property(lambda self: self.held.param_groups)
    defaults = property(lambda self: self.held.defaults)

    def state_dict(self) -> dict[str, Any]:
        return self.held.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.held.load_state_dict(state_dict)


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "imitating": Imitating,
    "delegating": Delegating,
    "mirroring": Mirroring,
    "holding": Holding,
    "nested": lambda optimizer: Holding(Delegating(Holding(optimizer))),
}
each_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)

MAKERS: dict[str, Callable[..., Any]] = {
    **{name: ALGORITHMS[name] for name in NAMES},
    "torch.optim.Adamax": torch.optim.Adamax,
    **{f"torch.optim.{name}": OTHERS[name] for name in ("Adam", "SGD", "LBFGS")},
}


def made(maker: str, steps: int = 3) -> Any:
    optimizer = MAKERS[maker](named(), lr=0.05)
    step(optimizer, steps)
    return optimizer


def contents(optimizer: Any) -> Any:
    return fingerprint(optimizer.state_dict())


@each_wrapper
@pytest.mark.parametrize("maker", MAKERS)
def test_a_file_is_that_of_what_is_wrapped(maker: str, wrapper: str, tmp_path: Path) -> None:
    source, path = made(maker), tmp_path / "file"
    optkit.save(WRAPPERS[wrapper](source), path)
    assert checkpoint_file.read(path).algorithm == type(source).__name__
    plain, held = made(maker, steps=1), made(maker, steps=1)
    outer = WRAPPERS[wrapper](held)
    reports = [optkit.load(optimizer, path) for optimizer in (plain, outer)]
    assert repr(reports[0]) == repr(reports[1])
    assert (reports[0] is None) == maker.startswith("torch")
    assert contents(plain) == contents(held) == contents(source)
    assert outer.state is held.state and outer.param_groups is held.param_groups
    for optimizer in (plain, held):
        step(optimizer, 2)
    assert contents(plain) == contents(held)


@each_wrapper
def test_arguments_reach_what_is_wrapped(wrapper: str, tmp_path: Path) -> None:
    path, target = tmp_path / "file", optkit.create("adamax", named(4), lr=0.5)
    optkit.save(made("adamax"), path)
    outer = WRAPPERS[wrapper](target)
    with pytest.raises(CheckpointError, match="p3 isn't in the checkpoint"):
        optkit.load(outer, path)
    report: Any = optkit.load(outer, path, strict=False, rename={"p0": "p3"})
    assert report.loaded == ("p1", "p2", "p3")


@each_wrapper
@pytest.mark.parametrize("maker", ["adamax", "torch.optim.Adam"])
def test_a_refused_file_changes_nothing(maker: str, wrapper: str, tmp_path: Path) -> None:
    path, target = tmp_path / "file", made(maker)
    optkit.save(MAKERS[maker](named(5)), path)
    outer, before = WRAPPERS[wrapper](target), state_of(target)
    with pytest.raises(CheckpointError):
        optkit.load(outer, path)
    assert state_of(target) == before
    optkit.save(made("torch.optim.SGD"), path)
    with pytest.raises(CheckpointError):
        optkit.load(outer, path)
    assert state_of(target) == before


class Driving(torch.optim.Optimizer):
    """Steps by another optimizer, over the same groups and state, but isn't that optimizer."""

    def __init__(self, params: Any) -> None:
        self.base = torch.optim.SGD(params, momentum=0.9, lr=0.05)
        super().__init__(self.base.param_groups, {"radius": 0.05})
        self.param_groups, self.state = self.base.param_groups, self.base.state


class Averaging(torch.optim.SGD):
    """Holds another optimizer of the same parameters beside a state of its own."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, momentum=0.9, lr=0.05)
        self.other = torch.optim.Adam(params)


@pytest.mark.parametrize("cls", [Driving, Averaging])
def test_what_holds_an_optimizer_may_be_one_of_its_own(cls: Any, tmp_path: Path) -> None:
    path, params = tmp_path / "file", [p for _, p in named()]
    optkit.save(cls(params), path)
    assert checkpoint_file.read(path).algorithm == cls.__name__
    assert optkit.load(cls(params), path) is None
    with pytest.raises(CheckpointError, match=f"is of {cls.__name__}, this optimizer is SGD"):
        optkit.load(torch.optim.SGD(params), path)


class Counted(optkit.get("adamax")):
    """Adds to its state dict, as subclasses of torch's classes do."""

    epoch = 0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        self.epoch = state_dict["epoch"]
        return super().load_state_dict(state_dict)


@pytest.mark.parametrize("wrap", [lambda o: o, Delegating, Holding])
def test_a_subclass_says_what_its_state_dict_is(wrap: Any, tmp_path: Path) -> None:
    source, target = Counted(named()), Counted(named())
    step(source, 2)
    source.epoch = 7
    optkit.save(wrap(source), tmp_path / "file")
    optkit.load(wrap(target), tmp_path / "file")
    assert target.epoch == 7
    assert contents(target) == contents(source)


def test_a_state_dict_that_is_set_on_the_instance_counts(tmp_path: Path) -> None:
    optimizer = made("adamax")
    given = optimizer.state_dict()
    given["param_groups"][0]["lr"] = 0.75
    optimizer.state_dict = lambda: given
    optkit.save(optimizer, tmp_path / "file")
    optkit.load(optimizer, tmp_path / "file")
    assert optimizer.param_groups[0]["lr"] == 0.75
