"""Made-up installed distributions, a registry of their own, and a plugin that takes notes."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pluggy
import pytest

import optkit_core
from optkit_core.plugins import entry_points as entry_points
from optkit_core.plugins import hook_calls, hookspecs
from optkit_core.plugins import registry as registries

OPTIMIZER = """
import torch
class {name}(torch.optim.SGD):
    "An optimizer that somebody else wrote."
"""

PLUGIN = """
import optkit_core, torch
class {name}(torch.optim.SGD):
    pass
@optkit_core.hookimpl
def optkit_register(registrar):
    registrar.register("{algorithm}", {name})
"""


def install(
    root: Path,
    name: str,
    *,
    version: str = "1.0",
    algorithms: Mapping[str, str] | None = None,
    schedules: Mapping[str, str] | None = None,
    averagings: Mapping[str, str] | None = None,
    plugins: Mapping[str, str] | None = None,
    modules: Mapping[str, str] | None = None,
) -> None:
    """Write a distribution with its metadata and modules into the folder `root`.

    Args:
        root: a folder that is, or will be, on ``sys.path``.
        name: the distribution's name.
        version: its version.
        algorithms: entry points of the group ``optkit.algorithms``.
        schedules: those of the group ``optkit.schedules``.
        averagings: those of the group ``optkit.averagings``.
        plugins: entry points of the group ``optkit.plugins``.
        modules: the source of each module, by name.
    """
    info = root / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = {
        "optkit.algorithms": algorithms or {},
        "optkit.schedules": schedules or {},
        "optkit.averagings": averagings or {},
        "optkit.plugins": plugins or {},
    }
    (info / "entry_points.txt").write_text("\n".join(_section(*item) for item in groups.items()))
    files = {f"{module}.py": source for module, source in (modules or {}).items()}
    for file, source in files.items():
        (root / file).write_text(source)
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def _section(group: str, entries: Mapping[str, str]) -> str:
    return f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())


@dataclass
class World:
    """A folder of distributions, with a registry and a plugin manager that know no others."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    registry: registries.Registry

    def install(self, name: str, **contents: Any) -> None:
        """Install a distribution, as `install` does, and let the registry notice it."""
        install(self.root / name, name, **contents)
        self.monkeypatch.syspath_prepend(self.root / name)

    def install_algorithm(self, dist: str, algorithm: str, module: str, name: str = "Lion") -> None:
        """Install a distribution of one module with one optimizer class."""
        source = OPTIMIZER.format(name=name)
        self.install(dist, algorithms={algorithm: f"{module}:{name}"}, modules={module: source})

    def imported(self) -> set[str]:
        """Return the names of the modules imported from this world."""
        root = str(self.root)
        known = list(sys.modules.items())
        return {n for n, m in known if str(getattr(m, "__file__", "")).startswith(root)}


FEW = ["adagrad", "adamax", "lbfgs"]
"""Those of the algorithms that ship which a world knows, however many more there are."""


def few_entry_points(group: str) -> list[EntryPoint]:
    """Return what is installed, but for other algorithms that ship."""
    found = importlib.metadata.entry_points(group=group)
    return [e for e in found if e.name in FEW or not e.value.startswith("optkit_plugins.")]


def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield a world; make it a fixture by ``world = pytest.fixture(distributions.world)``."""
    monkeypatch.setattr(registries, "entry_points", few_entry_points)
    for known in registries.REGISTRIES.values():
        # What is in it, and not the registry itself, which many modules have by name.
        monkeypatch.setattr(known, "__dict__", vars(registries.Registry(known.kind)))
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    monkeypatch.setattr(hook_calls, "manager", manager)
    for flag in ("_begun", "_finished"):
        monkeypatch.setattr(entry_points, flag, False)
    made = World(tmp_path, monkeypatch, registries.registry)
    yield made
    for name in made.imported():
        del sys.modules[name]


@dataclass(eq=False)
class Notes:
    """A plugin that notes every hook with its arguments."""

    events: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What has been called, without the arguments."""
        return [event[0] for event in self.events]

    @optkit_core.hookimpl
    def optkit_created(self, optimizer: Any) -> None:
        self.events.append(("created", optimizer))

    @optkit_core.hookimpl
    def optkit_before_step(self, optimizer: Any) -> None:
        self.events.append(("before", optimizer))

    @optkit_core.hookimpl
    def optkit_after_step(self, optimizer: Any, loss: Any) -> None:
        self.events.append(("after", optimizer, loss))

    @optkit_core.hookimpl
    def optkit_state_saved(self, optimizer: Any, state_dict: Any) -> None:
        self.events.append(("saved", optimizer, state_dict))

    @optkit_core.hookimpl
    def optkit_state_loaded(self, optimizer: Any) -> None:
        self.events.append(("loaded", optimizer))


def notes() -> Iterator[Notes]:
    """Yield notes that are being taken; a fixture by ``notes = pytest.fixture(...)``."""
    taken = Notes()
    name = optkit_core.register_plugin(taken, "notes")
    yield taken
    optkit_core.unregister_plugin(name)
