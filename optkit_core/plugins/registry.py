"""Registries: what is found by name, read from metadata, imported one at a time on first use.

There is one for each kind: algorithms, schedules, averagings.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs

from optkit_core.errors import (
    AmbiguousNameError,
    PluginError,
    RegistrationError,
    UnknownNameError,
    did_you_mean,
)
from optkit_core.plugins import hook_calls, installed
from optkit_core.plugins.installed import InstalledPlugin, Scan
from optkit_core.plugins.kinds import DEFAULT, KINDS, Kind, kind_called, normalized

OWN = "optkit"
"""The distribution whose names nobody can take away."""


def is_disabled(name: str, provider: str) -> bool:
    """Whether ``OPTKIT_DISABLE_PLUGINS`` names an entry point or its distribution.

    Args:
        name: of an entry point.
        provider: the distribution that brings it.
    """
    blocked = {normalized(item) for item in hook_calls.disabled()}
    return any(normalized(item) in blocked for item in (name, provider, f"{provider}:{name}"))


@attrs.frozen(eq=False)
class RegistryEntry:
    """One algorithm, schedule or averaging as its registry knows it, imported or not."""

    name: str
    provider: str
    version: str
    location: str
    factory: Any = None
    plugin: InstalledPlugin | None = None

    @property
    def qualified(self) -> str:
        """The name that no other distribution can claim."""
        return f"{self.provider}:{self.name}"

    @property
    def is_disabled(self) -> bool:
        """Whether ``OPTKIT_DISABLE_PLUGINS`` names it."""
        return is_disabled(self.name, self.provider)

    @property
    def is_own(self) -> bool:
        """Whether it ships with optkit: its name is nobody else's, whoever claims it."""
        return self.plugin is not None and normalized(self.provider) == OWN

    @property
    def is_of_others(self) -> bool:
        """Whether another distribution brings it, by its metadata."""
        return self.plugin is not None and not self.is_own


class Registry:
    """One kind by name: what the metadata has, and what is registered at run time."""

    def __init__(self, kind: Kind) -> None:
        """Start empty; the metadata is read when it is first needed."""
        self.kind = kind
        self._added: dict[str, list[RegistryEntry]] = {}
        # By distribution and name, since several distributions may claim one name.
        self._imported: dict[str, Any] = {}
        self._scanned: tuple[Scan, dict[str, list[RegistryEntry]]] | None = None
        # Reentrant: a module may look up another name while it is imported for its own.
        self._lock = threading.RLock()

    def entries(self) -> Iterator[RegistryEntry]:
        """Yield every entry that isn't disabled, by name, importing nothing."""
        # The last registration hides earlier ones and the metadata; `remove` lets them show again.
        merged = {**self._declared(), **{key: added[-1:] for key, added in self._added.items()}}
        for key in sorted(merged):
            yield from (entry for entry in merged[key] if not entry.is_disabled)

    def find(self, name: str) -> RegistryEntry:
        """Return the one entry that goes by `name` or ``"distribution:name"``.

        Raises:
            UnknownNameError: there is none; names the close matches. It is the kind's own class
                of this error.
            AmbiguousNameError: several distributions claim the name.
        """
        if not isinstance(name, str):
            raise self.kind.unknown(f"{self.kind.article}'s name must be a string, got {name!r}.")
        matching = self._matching(name)
        if len(matching) == 1:
            return matching[0]
        raise self._ambiguous(name, matching) if matching else self._unknown(name)

    def load(self, entry: RegistryEntry) -> Any:
        """Return the class or function that an entry names, importing it on first use.

        Raises:
            PluginError: it can't be imported, or isn't what the kind allows.
        """
        if entry.factory is not None:
            return entry.factory
        with self._lock:
            if entry.qualified not in self._imported:
                self._imported[entry.qualified] = self._import(entry)
            return self._imported[entry.qualified]

    def add(self, name: str, factory: Any, *, provider: str, replace: bool = False) -> None:
        """Register a class or function at run time.

        Args:
            name: the name to create it by.
            factory: what the kind allows, a subclass of ``torch.optim.Optimizer`` for example.
            provider: the distribution or plugin that brings it.
            replace: whether the name may be taken already.

        Raises:
            RegistrationError: the name is taken and `replace` isn't given, or what is
                registered isn't what the kind allows.
        """
        check_name(name, self.kind)
        self._check(f"register({name!r}, ...)", factory, RegistrationError)
        key = normalized(name)
        taken = self._added.get(key, [])[-1:] or self._declared().get(key, [])
        if taken and not replace:
            raise RegistrationError(
                f"the name {name!r} is taken by {taken[0].location} of {taken[0].provider}. "
                f"Choose another, or say replace=True."
            )
        entry = RegistryEntry(name, provider, "", _location(factory), factory)
        self._added.setdefault(key, []).append(entry)

    def remove(self, name: str) -> None:
        """Take back a registration made at run time; one that it replaced shows again."""
        added = self._added.get(normalized(name), [])
        if not added:
            raise RegistrationError(f"{name!r} wasn't registered at run time.")
        added.pop()
        if not added:
            del self._added[normalized(name)]

    @contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Take back the registrations made in the block if it raises."""
        before = {key: list(added) for key, added in self._added.items()}
        try:
            yield
        except BaseException:
            self._added = before
            raise

    def _matching(self, name: str) -> list[RegistryEntry]:
        provider, _, bare = name.rpartition(":")
        found = (self._spelled(key, provider) for key in self.kind.spellings(bare))
        return next(filter(None, found), [])

    def _spelled(self, key: str, provider: str) -> list[RegistryEntry]:
        added = self._added.get(key, [])[-1:]
        declared = self._declared().get(key, [])
        if provider:
            both = [*added, *declared]
            matching = [e for e in both if normalized(e.provider) == normalized(provider)]
        else:
            matching = added or declared
        enabled = [entry for entry in matching if not entry.is_disabled]
        # What other distributions claim stands behind; "distribution:name" still finds it.
        return [entry for entry in enabled if entry.is_own] or enabled

    def _declared(self) -> dict[str, list[RegistryEntry]]:
        scan = installed.scan()
        if self._scanned is None or self._scanned[0] is not scan:
            declared: dict[str, list[RegistryEntry]] = {}
            for plugin in scan.of(self.kind.group):
                declared.setdefault(normalized(plugin.name), []).append(_entry(plugin))
            self._scanned = (scan, declared)
        return self._scanned[1]

    def _import(self, entry: RegistryEntry) -> Any:
        assert entry.plugin is not None
        imported = hook_calls.load(entry.plugin)
        self._check(f"{entry.location} of distribution {entry.provider}", imported, PluginError)
        # A class may implement hooks in its body; to import it is what makes them fire.
        if not hook_calls.manager.is_registered(imported):
            hook_calls.add(imported, self._plugin_name(entry))
        return imported

    def _plugin_name(self, entry: RegistryEntry) -> str:
        # Kinds share names, "swa" for example, and the plugin manager has one space for all.
        is_algorithm = self.kind.name == DEFAULT
        return entry.qualified if is_algorithm else f"{self.kind.name} {entry.qualified}"

    def _check(self, what: str, factory: object, error: type[Exception]) -> None:
        if not self.kind.is_allowed(factory):
            raise error(f"{what} must be {self.kind.allowed}, got {factory!r}.")

    def _unknown(self, name: str) -> UnknownNameError:
        bare = name.rpartition(":")[2]
        same = [*self._declared().get(normalized(bare), []), *self._added.get(normalized(bare), [])]
        if any(entry.is_disabled for entry in same):
            return self.kind.unknown(f"{name!r} is blocked by the variable {hook_calls.DISABLED}.")
        known = [*(entry.name for entry in self.entries()), *self.kind.aliases]
        return self.kind.unknown(
            f"no {self.kind.name} is called {name!r}.{did_you_mean(bare, known)} "
            f"{self.kind.listed_by}"
        )

    def _ambiguous(self, name: str, entries: list[RegistryEntry]) -> AmbiguousNameError:
        owners = " and ".join(f"{entry.provider} {entry.version}" for entry in entries)
        names = " or ".join(repr(entry.qualified) for entry in entries)
        return self.kind.ambiguous(f"{name!r} is claimed by {owners}. Say which: {names}.")


REGISTRIES = {name: Registry(kind) for name, kind in KINDS.items()}
"""The registry of each kind, by the kind's name."""

registry = REGISTRIES[DEFAULT]
"""The registry of algorithms."""


def registry_of(kind: str) -> Registry:
    """Return the registry of a kind.

    Args:
        kind: ``"algorithm"``, ``"schedule"`` or ``"averaging"``.

    Raises:
        ArgumentError: there is no such kind.
    """
    return REGISTRIES[kind_called(kind).name]


@contextmanager
def all_restored_on_error() -> Iterator[None]:
    """Take back the registrations of every kind made in the block if it raises."""
    with ExitStack() as stack:
        for known in REGISTRIES.values():
            stack.enter_context(known.restored_on_error())
        yield


def _entry(plugin: InstalledPlugin) -> RegistryEntry:
    provider, location = plugin.provider, plugin.entry_point.value
    return RegistryEntry(plugin.name, provider.name, provider.version, location, plugin=plugin)


def _location(factory: Any) -> str:
    # An object that can be called, a functools.partial for example, has no such names.
    named = factory if hasattr(factory, "__qualname__") else type(factory)
    return f"{named.__module__}:{named.__qualname__}"


def check_name(name: str, kind: Kind) -> None:
    """Raise unless `name` can be the name of one of a kind.

    Raises:
        RegistrationError: it isn't letters, digits, ``-`` and ``_``.
    """
    # The underscore in front lets a name begin with a digit, which identifiers can't.
    plain = isinstance(name, str) and f"_{normalized(name)}".isidentifier() and normalized(name)
    if not plain:
        raise RegistrationError(
            f"{kind.article}'s name must be letters, digits, '-' and '_', got {name!r}."
        )
