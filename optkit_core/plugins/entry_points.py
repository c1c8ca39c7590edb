"""Whole plugins: found by their entry points, loaded once on first need, each on its own.

A whole plugin registers algorithms, schedules and averagings by its hook `optkit_register`, and
watches optimizers by the others. One that fails to load breaks only itself.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

from optkit_core.checkpoint import conversion_registry
from optkit_core.errors import PluginError, PluginWarning, UnknownNameError
from optkit_core.plugins import hook_calls, import_limit, installed
from optkit_core.plugins.installed import InstalledPlugin
from optkit_core.plugins.kinds import DEFAULT
from optkit_core.plugins.registrar import Registrar
from optkit_core.plugins.registry import (
    RegistryEntry,
    all_restored_on_error,
    is_disabled,
    registry_of,
)

PLUGINS = "optkit.plugins"

_lock = threading.RLock()
# Two flags: `_begun` stops a plugin that comes here again, `_finished` spares others the lock.
_begun = False
_finished = False


def load_all() -> None:
    """Load every whole plugin that isn't disabled, at the first call; other threads wait.

    A plugin that creates optimizers while it is loaded comes here again, and goes on.

    Raises:
        ConfigError: the limit of time isn't a number of seconds.
    """
    global _begun, _finished
    if _finished:
        return
    with _lock:
        if _begun:
            return
        limit = import_limit.seconds()
        _begun = True
        for plugin in installed.plugins(PLUGINS):
            if not is_disabled(plugin.name, plugin.provider.name):
                _load(plugin, limit)
        _finished = True


def find(name: str, kind: str = DEFAULT) -> RegistryEntry:
    """Return the entry for a name; plugins are loaded only if nobody else knows it.

    Args:
        name: as for `optkit.create`.
        kind: of what it is the name.

    Raises:
        UnknownNameError: nothing of the kind is called that.
        AmbiguousNameError: several distributions claim the name.
        ArgumentError: there is no such kind.
    """
    registry = registry_of(kind)
    try:
        return registry.find(name)
    except UnknownNameError:
        load_all()
        return registry.find(name)


def load(name: str, kind: str = DEFAULT) -> Any:
    """Return the class or function that goes by a name, imported on first use.

    Args:
        name: as for `optkit.create`.
        kind: of what it is the name.

    Raises:
        UnknownNameError: nothing of the kind is called that.
        AmbiguousNameError: several distributions claim the name.
        PluginError: its distribution is broken.
    """
    return registry_of(kind).load(find(name, kind))


def register_plugin(plugin: object, name: str | None = None) -> str:
    """Add a plugin's hooks at run time.

    Args:
        plugin: a module or object with functions marked ``@hookimpl``.
        name: the name to list and unregister it by; by default the module's or object's own.

    Returns:
        The name under which it is registered.

    Raises:
        PluginError: it is registered already, or implements a hook that doesn't exist.

    >>> import optkit_core
    >>> class Watch:
    ...     @optkit_core.hookimpl
    ...     def optkit_after_step(self, optimizer, loss):
    ...         print("stepped")
    >>> name = register_plugin(Watch(), "watch")
    >>> unregister_plugin(name)
    """
    registered = hook_calls.add(plugin, name)
    implementations = hook_calls.implementations("optkit_register", plugin)
    registrar = Registrar(registered)
    try:
        with all_restored_on_error():
            for implementation in implementations:
                # pluggy lets an implementation leave arguments out.
                arguments = [registrar][: len(implementation.argnames)]
                implementation.function(*arguments)
    except BaseException as error:
        # Migrations and importers are in another registry, which isn't restored above.
        conversion_registry.forget(registrar.conversions)
        hook_calls.manager.unregister(plugin)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f"plugin {registered!r} failed in optkit_register: {type(error).__name__}: {error}"
        ) from error
    return registered


def unregister_plugin(name: str) -> None:
    """Remove a plugin's hooks; what it registered stays.

    Raises:
        PluginError: no plugin of that name is registered.
    """
    if not hook_calls.manager.has_plugin(name):
        raise PluginError(
            f"no plugin is registered as {name!r}; there are {sorted(hook_calls.names())}."
        )
    hook_calls.manager.unregister(name=name)


def _load(plugin: InstalledPlugin, limit: float) -> None:
    """Load one whole plugin; a failure becomes a warning, for it breaks only itself."""
    try:
        with import_limit.limited(limit):
            register_plugin(hook_calls.load(plugin), plugin.name)
    # Enough for `sys.exit` too: both calls have made a PluginError of it by now.
    except (Exception, import_limit.ImportTimeoutError) as error:
        said = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
        source = f"plugin {plugin.name!r} of distribution {plugin.provider}"
        warnings.warn(f"{source} is left out: {said}{error}", PluginWarning, stacklevel=2)
