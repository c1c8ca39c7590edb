"""The plugin manager: loads whole plugins once, on first need, and fires their hooks."""

from __future__ import annotations

import os
import re
import warnings
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from optkit_core import hookspecs
from optkit_core.errors import PluginError, PluginWarning

DISABLED = "OPTKIT_DISABLE_PLUGINS"

manager = pluggy.PluginManager(hookspecs.PROJECT)
manager.add_hookspecs(hookspecs)


def fire(hook: str, **arguments: Any) -> None:
    """Call a hook in every plugin that implements it; nothing happens where none does."""
    caller = getattr(manager.hook, hook)
    if caller.get_hookimpls():
        caller(**arguments)


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
    from optkit_core.registry import registry

    registered = add(plugin, name)
    own = (i for i in manager.hook.optkit_register.get_hookimpls() if i.plugin is plugin)
    try:
        with registry.restored_on_error():
            for implementation in own:
                implementation.function(
                    *[registry.registrar(registered)][: len(implementation.argnames)]
                )
    except Exception as error:
        manager.unregister(plugin)
        raise PluginError(
            f"plugin {registered!r} failed in optkit_register: {type(error).__name__}: {error}"
        ) from error
    return registered


def add(plugin: object, name: str | None) -> str:
    """Add a plugin's hooks and return its name; a wrong plugin leaves nothing.

    Raises:
        PluginError: it is registered already, or implements a hook that doesn't exist.
    """
    try:
        registered = manager.register(plugin, name)
        manager.check_pending()
    except ValueError as error:
        raise PluginError(f"plugin {name or plugin!r} is registered already: {error}.") from error
    except pluggy.PluginValidationError as error:
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        known = ", ".join(hook for hook in vars(hookspecs) if hook.startswith("optkit_"))
        raise PluginError(f"{error}. The hooks are {known}.") from error
    if registered is None:
        raise PluginError(f"plugin {name!r} is blocked.")
    return registered


def unregister_plugin(name: str) -> None:
    """Remove a plugin's hooks; the algorithms that it registered stay.

    Raises:
        PluginError: no plugin of that name is registered.
    """
    if not manager.has_plugin(name):
        raise PluginError(f"no plugin is registered as {name!r}; there are {sorted(names())}.")
    manager.unregister(name=name)


def names() -> list[str]:
    """Return the names of the registered plugins."""
    return [name for name, plugin in manager.list_name_plugin() if plugin is not None]


def disabled() -> frozenset[str]:
    """Return the names that ``OPTKIT_DISABLE_PLUGINS`` lists, between commas or spaces."""
    return frozenset(filter(None, re.split(r"[,\s]+", os.environ.get(DISABLED, ""))))


def load(entry_point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        PluginError: the import failed; names the distribution and the cause.
    """
    try:
        return entry_point.load()
    except Exception as error:
        raise PluginError(
            f"{entry_point.group} {entry_point.name!r} = {entry_point.value!r} of distribution "
            f"{provider(entry_point)} can't be imported: {type(error).__name__}: {error}. "
            f"Repair or remove that distribution, or set {DISABLED}={entry_point.name}."
        ) from error


def load_plugin(entry_point: EntryPoint) -> None:
    """Load one whole plugin; a failure becomes a warning, for it breaks only itself."""
    try:
        register_plugin(load(entry_point), entry_point.name)
    except Exception as error:
        said = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
        owner = f"plugin {entry_point.name!r} of distribution {provider(entry_point)}"
        warnings.warn(f"{owner} is left out: {said}{error}", PluginWarning, stacklevel=2)


def provider(entry_point: EntryPoint) -> str:
    """Return the distribution that brings an entry point, with its version."""
    dist = entry_point.dist
    return f"{dist.name} {dist.version}" if dist is not None else "(unknown)"
