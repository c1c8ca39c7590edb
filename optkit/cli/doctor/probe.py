"""What is done with an entry point in a process of its own: import and register it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

import optkit
from optkit_core.plugins import entry_points, hook_calls, installed
from optkit_core.plugins.installed import InstalledPlugin
from optkit_core.plugins.kinds import KINDS
from optkit_core.plugins.registry import REGISTRIES

IMPORT = "can't be imported"
REGISTRATION = "can't be registered"
DESCRIPTION = "can't be described"

OURS = frozenset(["optkit", "optkit_core", "pluggy", "importlib"])
"""Folders in whose files no plugin's mistake is."""


@attrs.frozen
class Registered:
    """A name that has become available.

    Args:
        kind: of what it is the name, such as ``"algorithm"``.
        name: as `optkit.available` has it.
    """

    kind: str
    name: str


@attrs.frozen
class Probed:
    """What an entry point turned out to be.

    Args:
        registers: what is available through it.
        hooks: those that it implements.
        implementations: of an algorithm.
        failure: what went wrong, ``""`` if nothing did.
    """

    registers: tuple[Registered, ...] = ()
    hooks: tuple[str, ...] = ()
    implementations: tuple[str, ...] = ()
    failure: str = ""


class FailedStageError(Exception):
    """A stage failed; the text says which and why."""


def probe(position: int) -> Probed:
    """Import and register one of the installed plugins.

    Args:
        position: of the plugin in the scan.
    """
    plugin = installed.scan().plugins[position]
    try:
        if plugin.entry_point.group == entry_points.PLUGINS:
            return _whole_plugin(plugin)
        return _by_name(plugin)
    except FailedStageError as error:
        return Probed(failure=str(error))


def _whole_plugin(plugin: InstalledPlugin) -> Probed:
    imported = _stage(IMPORT, plugin.entry_point.load)
    name = _stage(REGISTRATION, lambda: entry_points.register_plugin(imported, plugin.name))
    callers = hook_calls.manager.get_hookcallers(imported) or []
    return Probed(tuple(_registered_by(name)), tuple(caller.name for caller in callers))


def _registered_by(provider: str) -> Iterator[Registered]:
    for kind, registry in REGISTRIES.items():
        for entry in registry.entries():
            if entry.plugin is None and entry.provider == provider:
                yield Registered(kind, entry.name)


def _by_name(plugin: InstalledPlugin) -> Probed:
    group = plugin.entry_point.group
    kind = next((kind for kind in KINDS.values() if kind.group == group), None)
    if kind is None:
        groups = ", ".join([entry_points.PLUGINS, *(kind.group for kind in KINDS.values())])
        raise FailedStageError(f"is of the group {group!r}, and optkit reads {groups}")
    _stage(IMPORT, plugin.entry_point.load)
    registry = REGISTRIES[kind.name]
    entry = next(entry for entry in registry.entries() if entry.plugin is plugin)
    _stage(REGISTRATION, lambda: registry.load(entry))
    described = _stage(DESCRIPTION, lambda: optkit.describe(entry.qualified, kind=kind.name))
    implementations = getattr(described, "implementations", ())
    return Probed((Registered(kind.name, plugin.name),), (), implementations)


def _stage(name: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except BaseException as error:  # `sys.exit` too
        cause = error.__cause__ or error
        where = _where(cause.__traceback__)
        raise FailedStageError(f"{name}: {type(cause).__name__}: {cause}{where}") from error


def _where(trace: TracebackType | None) -> str:
    """Return the file and line of the plugin at which an error came up."""
    files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(trace)]
    # What is frozen into Python has a name in brackets for a file.
    theirs = [x for x in files if not (OURS.intersection(x[0].parts) or str(x[0])[0] == "<")]
    return f" ({theirs[-1][0]}, line {theirs[-1][1]})" if theirs else ""
