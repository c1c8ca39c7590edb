"""Schedules that others bring: by entry points, by whole plugins, at run time."""

from __future__ import annotations

import functools
from typing import Any

import distributions
import pytest
import torch
from distributions import World
from torch.optim import lr_scheduler

import optkit
import optkit_core

world = pytest.fixture(distributions.world)


def optimizer(name: str = "adamax", lr: Any = 0.1, **options: Any) -> Any:
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    return optkit.create(name, [{"params": [p], "lr": lr} for p in params], **options)


STRANGE = """
from typing import Annotated
import torch
from optkit_core import whole

class Halving(torch.optim.lr_scheduler.StepLR):
    "halves the rate"
    def __init__(self, optimizer, every: Annotated[int, whole(2), "how often"], note: str = ""):
        super().__init__(optimizer, every, 0.5)

def broken(optimizer, **anything):
    return 3
"""


def test_a_plugin_brings_a_schedule(world: World) -> None:
    names = {"halving": "strange:Halving", "broken": "strange:broken", "step": "strange:Halving"}
    world.install("dist", schedules=names, modules={"strange": STRANGE})
    assert "halving" in optkit.available(kind="schedule")
    assert world.imported() == set()
    schedule = optkit.create_schedule("halving", optimizer(), every=2)
    assert type(schedule).__name__ == "Halving"
    described = optkit.describe("halving", kind="schedule")
    assert (described.summary, described.distribution) == ("halves the rate", "dist")
    assert [(a.name, a.type, a.range, a.doc) for a in described.arguments[:2]] == [
        ("every", "int", "whole, ≥ 2", "how often"),
        ("note", "str", "a text", ""),
    ]
    with pytest.raises(optkit.ArgumentError, match="every must be a whole number of at least 2"):
        optkit.create_schedule("halving", optimizer(), every=1)
    with pytest.raises(optkit.ArgumentError, match="note must be a text, got 3"):
        optkit.create_schedule("halving", optimizer(), every=2, note=3)
    with pytest.raises(optkit_core.PluginError, match=r"no step\(\).* returned 3"):
        optkit.create_schedule("broken", optimizer(), every=2)
    # Nobody takes a name away that ships.
    assert optkit.describe("step", kind="schedule").distribution == "optkit"
    assert optkit.describe("dist:step", kind="schedule").distribution == "dist"


@pytest.mark.usefixtures("world")
def test_kinds_have_names_of_their_own() -> None:
    optkit.register("adamax", lr_scheduler.StepLR, kind="schedule")
    optkit.register("adamax", torch.optim.swa_utils.AveragedModel, kind="averaging")
    assert optkit.get("adamax").__name__ == "Adamax"
    assert optkit.describe("adamax", kind="averaging").kind == "averaging"
    with pytest.raises(optkit_core.RegistrationError, match="schedule's name must be letters"):
        optkit.register("a b", lr_scheduler.StepLR, kind="schedule")
    with pytest.raises(optkit_core.RegistrationError, match="must be a class or function"):
        optkit.register("number", 3, kind="schedule")
    for call in (optkit.available, functools.partial(optkit.describe, "step")):
        with pytest.raises(optkit.ArgumentError, match="Did you mean 'schedule'"):
            call(kind="schedul")


@pytest.mark.usefixtures("world")
def test_a_whole_plugin_registers_schedules_and_loses_them_when_it_fails() -> None:
    class Plugin:
        def __init__(self, fails: bool) -> None:
            self.fails = fails

        @optkit_core.hookimpl
        def optkit_register(self, registrar: Any) -> None:
            registrar.register("halving", lr_scheduler.StepLR, kind="schedule")
            assert not self.fails

    with pytest.raises(optkit_core.PluginError, match="optkit_register"):
        optkit_core.register_plugin(Plugin(True))
    assert "halving" not in optkit.available(kind="schedule")
    optkit_core.register_plugin(Plugin(False))
    assert "halving" in optkit.available(kind="schedule")


def test_a_blocked_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTKIT_DISABLE_PLUGINS", "linear")
    assert "linear" not in optkit.available(kind="schedule")
    with pytest.raises(optkit.UnknownScheduleError, match="blocked"):
        optkit.create_schedule("linear", optimizer())
