"""The plugin manager: who implements which hook, and how hooks are fired."""

from __future__ import annotations

import os
import re
from typing import Any

import pluggy

from optkit_core.errors import PluginError
from optkit_core.plugins import hookspecs
from optkit_core.plugins.installed import InstalledPlugin

DISABLED = "OPTKIT_DISABLE_PLUGINS"

manager = pluggy.PluginManager(hookspecs.PROJECT)
manager.add_hookspecs(hookspecs)


def fire(hook: str, **arguments: Any) -> None:
    """Call a hook in every plugin that implements it; nothing happens where none does.

    Of the members of a composite optimizer nobody is told: it is told of the composite.
    """
    # Asked first, since pluggy would go through a whole call in every step for nobody.
    if is_implemented(hook) and not getattr(arguments.get("optimizer"), "is_member", False):
        getattr(manager.hook, hook)(**arguments)


def results(hook: str, **arguments: Any) -> list[Any]:
    """Call a hook that answers, and return the answers of all plugins that implement it."""
    return getattr(manager.hook, hook)(**arguments) if is_implemented(hook) else []


def is_implemented(hook: str) -> bool:
    """Return whether any plugin implements a hook."""
    return bool(getattr(manager.hook, hook).get_hookimpls())


def add(plugin: object, name: str | None) -> str:
    """Add a plugin's hooks and return its name; a wrong plugin leaves nothing.

    Args:
        plugin: a module or object with functions marked ``@hookimpl``.
        name: to register it by; None for its own.

    Raises:
        PluginError: it is registered already, or implements a hook that doesn't exist.
    """
    try:
        registered = manager.register(plugin, name)
        # Without this a misspelled hook would be taken in, and never fire.
        manager.check_pending()
    except ValueError as error:
        raise PluginError(f"plugin {name or plugin!r} is registered already: {error}.") from error
    except pluggy.PluginValidationError as error:
        # check_pending() complains when the plugin is in already.
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        known = ", ".join(hook for hook in vars(hookspecs) if hook.startswith("optkit_"))
        raise PluginError(f"{error}. The hooks are {known}.") from error
    if registered is None:
        raise PluginError(f"plugin {name!r} is blocked.")
    return registered


def implementations(hook: str, plugin: object) -> list[pluggy.HookImpl]:
    """Return a plugin's own implementations of a hook.

    Args:
        hook: its name.
        plugin: a registered plugin.
    """
    return [i for i in getattr(manager.hook, hook).get_hookimpls() if i.plugin is plugin]


def names() -> list[str]:
    """Return the names of the registered plugins."""
    # pluggy lists blocked names too, with None for a plugin.
    return [name for name, plugin in manager.list_name_plugin() if plugin is not None]


def disabled() -> frozenset[str]:
    """Return the names that ``OPTKIT_DISABLE_PLUGINS`` lists, between commas or spaces."""
    return frozenset(filter(None, re.split(r"[,\s]+", os.environ.get(DISABLED, ""))))


def load(plugin: InstalledPlugin) -> Any:
    """Import what an entry point names; a module that calls ``sys.exit`` has failed to load.

    Raises:
        PluginError: the import failed; names the distribution and the cause.
    """
    entry_point = plugin.entry_point
    try:
        return entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may call `sys.exit`, which isn't to end the program
        raise PluginError(
            f"{entry_point.group} {entry_point.name!r} = {entry_point.value!r} of distribution "
            f"{plugin.provider} can't be imported: {type(error).__name__}: {error}. "
            f"Repair or remove that distribution, or set {DISABLED}={entry_point.name}."
        ) from error
