"""Made-up installed distributions, a registry of their own, and a plugin that takes notes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
import pytest

import optkit_core
from optkit_core.plugins import entry_points as entry_points
from optkit_core.plugins import hook_calls, hookspecs, installed
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
    requires: Sequence[str] = (),
    metadata: str | None = None,
    entry_points: str | None = None,
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
        requires: what the distribution asks for.
        metadata: other contents of that file; ``""`` for no file.
        entry_points: other contents of that file.
    """
    info = root / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    if metadata is None:
        headers = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        metadata = "\n".join([*headers, *(f"Requires-Dist: {line}" for line in requires), ""])
    if metadata:
        (info / "METADATA").write_text(metadata)
    groups = {
        "optkit.algorithms": algorithms or {},
        "optkit.schedules": schedules or {},
        "optkit.averagings": averagings or {},
        "optkit.plugins": plugins or {},
    }
    sections = "\n".join(_section(*item) for item in groups.items())
    (info / "entry_points.txt").write_text(sections if entry_points is None else entry_points)
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


def few_plugins(scanned: installed.Scan) -> installed.Scan:
    """Return what is installed, but for other algorithms that ship."""
    kept = [
        plugin
        for plugin in scanned.plugins
        if plugin.name in FEW or not plugin.entry_point.value.startswith("optkit_plugins.")
    ]
    return installed.Scan(tuple(kept), scanned.providers)


def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield a world; make it a fixture by ``world = pytest.fixture(distributions.world)``."""
    scanned = functools.cache(lambda path: few_plugins(installed.look_up()))
    monkeypatch.setattr(installed, "scan", lambda: scanned(tuple(sys.path)))
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
