"""The registry: algorithms by name, read from metadata, imported one at a time on first use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import torch

from optkit_core.errors import (
    AmbiguousAlgorithmError,
    PluginError,
    RegistrationError,
    UnknownAlgorithmError,
    did_you_mean,
)
from optkit_core.plugins import hook_calls, installed
from optkit_core.plugins.installed import InstalledPlugin, Scan
from optkit_core.plugins.registrar import Registrar

ALGORITHMS = "optkit.algorithms"

OWN = "optkit"
"""The distribution whose names nobody can take away."""


def normalized(name: str) -> str:
    """Return a name as it is compared: without case, ``-`` and ``_``.

    >>> normalized("RMS-prop") == normalized("rmsprop")
    True
    """
    return name.lower().replace("-", "").replace("_", "")


def is_disabled(name: str, provider: str) -> bool:
    """Whether ``OPTKIT_DISABLE_PLUGINS`` names an entry point or its distribution.

    Args:
        name: of an entry point.
        provider: the distribution that brings it.
    """
    blocked = {normalized(item) for item in hook_calls.disabled()}
    return any(normalized(item) in blocked for item in (name, provider, f"{provider}:{name}"))


@attrs.frozen(eq=False)
class AlgorithmEntry:
    """One algorithm as the registry knows it, imported or not."""

    name: str
    provider: str
    version: str
    location: str
    algorithm: type[torch.optim.Optimizer] | None = None
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
    """Algorithms by name: those of the metadata and those registered at run time."""

    def __init__(self) -> None:
        """Start empty; the metadata is read when it is first needed."""
        self._added: dict[str, list[AlgorithmEntry]] = {}
        # By distribution and name, since several distributions may claim one name.
        self._imported: dict[str, type[torch.optim.Optimizer]] = {}
        self._scanned: tuple[Scan, dict[str, list[AlgorithmEntry]]] | None = None
        # Reentrant: a module may look up another algorithm while it is imported for its own.
        self._lock = threading.RLock()

    def entries(self) -> Iterator[AlgorithmEntry]:
        """Yield every entry that isn't disabled, by name, importing nothing."""
        # The last registration hides earlier ones and the metadata; `remove` lets them show again.
        merged = {**self._declared(), **{key: added[-1:] for key, added in self._added.items()}}
        for key in sorted(merged):
            yield from (entry for entry in merged[key] if not entry.is_disabled)

    def find(self, name: str) -> AlgorithmEntry:
        """Return the one entry that goes by `name` or ``"distribution:name"``.

        Raises:
            UnknownAlgorithmError: there is none; names the close matches.
            AmbiguousAlgorithmError: several distributions claim the name.
        """
        if not isinstance(name, str):
            raise UnknownAlgorithmError(f"an algorithm's name must be a string, got {name!r}.")
        matching = self._matching(name)
        if len(matching) == 1:
            return matching[0]
        raise self._ambiguous(name, matching) if matching else self._unknown(name)

    def algorithm(self, entry: AlgorithmEntry) -> type[torch.optim.Optimizer]:
        """Return the entry's class, importing it on first use.

        Raises:
            PluginError: it can't be imported, or isn't an optimizer class.
        """
        if entry.algorithm is not None:
            return entry.algorithm
        with self._lock:
            if entry.qualified not in self._imported:
                self._imported[entry.qualified] = _import(entry)
            return self._imported[entry.qualified]

    def add(self, name: str, algorithm: type, *, provider: str, replace: bool = False) -> None:
        """Register an algorithm at run time.

        Args:
            name: the name to create it by.
            algorithm: a subclass of ``torch.optim.Optimizer``.
            provider: the distribution or plugin that brings it.
            replace: whether the name may be taken already.

        Raises:
            RegistrationError: the name is taken and `replace` isn't given, or what is
                registered isn't an optimizer class.
        """
        check_name(name)
        _check_class(f"register({name!r}, ...)", algorithm, RegistrationError)
        key = normalized(name)
        taken = self._added.get(key, [])[-1:] or self._declared().get(key, [])
        if taken and not replace:
            raise RegistrationError(
                f"the name {name!r} is taken by {taken[0].location} of {taken[0].provider}. "
                f"Choose another, or say replace=True."
            )
        location = f"{algorithm.__module__}:{algorithm.__qualname__}"
        self._added.setdefault(key, []).append(
            AlgorithmEntry(name, provider, "", location, algorithm)
        )

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

    def registrar(self, provider: str) -> Registrar:
        """Return what the plugin named `provider` registers its algorithms with."""
        return Registrar(self.add, provider)

    def _matching(self, name: str) -> list[AlgorithmEntry]:
        provider, _, bare = name.rpartition(":")
        key = normalized(bare)
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

    def _declared(self) -> dict[str, list[AlgorithmEntry]]:
        scan = installed.scan()
        if self._scanned is None or self._scanned[0] is not scan:
            declared: dict[str, list[AlgorithmEntry]] = {}
            for plugin in scan.of(ALGORITHMS):
                declared.setdefault(normalized(plugin.name), []).append(_entry(plugin))
            self._scanned = (scan, declared)
        return self._scanned[1]

    def _unknown(self, name: str) -> UnknownAlgorithmError:
        bare = name.rpartition(":")[2]
        same = [*self._declared().get(normalized(bare), []), *self._added.get(normalized(bare), [])]
        if any(entry.is_disabled for entry in same):
            return UnknownAlgorithmError(
                f"{name!r} is blocked by the variable {hook_calls.DISABLED}."
            )
        known = [entry.name for entry in self.entries()]
        return UnknownAlgorithmError(
            f"no algorithm is called {name!r}.{did_you_mean(bare, known)} "
            "optkit.available() and `optkit list` give all names."
        )

    def _ambiguous(self, name: str, entries: list[AlgorithmEntry]) -> AmbiguousAlgorithmError:
        owners = " and ".join(f"{entry.provider} {entry.version}" for entry in entries)
        names = " or ".join(repr(entry.qualified) for entry in entries)
        return AmbiguousAlgorithmError(f"{name!r} is claimed by {owners}. Say which: {names}.")


registry = Registry()


def _entry(plugin: InstalledPlugin) -> AlgorithmEntry:
    provider, location = plugin.provider, plugin.entry_point.value
    return AlgorithmEntry(plugin.name, provider.name, provider.version, location, plugin=plugin)


def _import(entry: AlgorithmEntry) -> type[torch.optim.Optimizer]:
    assert entry.plugin is not None
    algorithm = hook_calls.load(entry.plugin)
    _check_class(f"{entry.location} of distribution {entry.provider}", algorithm, PluginError)
    # A class may implement hooks in its body; to import it is what makes them fire.
    if not hook_calls.manager.is_registered(algorithm):
        hook_calls.add(algorithm, entry.qualified)
    imported: type[torch.optim.Optimizer] = algorithm
    return imported


def _check_class(what: str, algorithm: object, error: type[Exception]) -> None:
    if not (isinstance(algorithm, type) and issubclass(algorithm, torch.optim.Optimizer)):
        raise error(f"{what} must be a subclass of torch.optim.Optimizer, got {algorithm!r}.")


def check_name(name: str) -> None:
    """Raise unless `name` can be an algorithm's name.

    Raises:
        RegistrationError: it isn't letters, digits, ``-`` and ``_``.
    """
    # The underscore in front lets a name begin with a digit, which identifiers can't.
    plain = isinstance(name, str) and f"_{normalized(name)}".isidentifier() and normalized(name)
    if not plain:
        raise RegistrationError(
            f"an algorithm's name must be letters, digits, '-' and '_', got {name!r}."
        )
