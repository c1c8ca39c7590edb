"""The registry: algorithms by name, read from metadata, imported one at a time on first use."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import attrs
import torch

from optkit_core.checkpoint import conversion_registry
from optkit_core.errors import (
    AmbiguousAlgorithmError,
    PluginError,
    RegistrationError,
    UnknownAlgorithmError,
    did_you_mean,
)
from optkit_core.plugins import hooks

ALGORITHMS = "optkit.algorithms"


def normalized(name: str) -> str:
    """Return a name as it is compared: without case, ``-`` and ``_``.

    >>> normalized("L-BFGS") == normalized("lbfgs")
    True
    """
    return name.lower().replace("-", "").replace("_", "")


def is_disabled(name: str, provider: str) -> bool:
    """Whether ``OPTKIT_DISABLE_PLUGINS`` names an entry point or its distribution."""
    blocked = {normalized(item) for item in hooks.disabled()}
    return any(normalized(item) in blocked for item in (name, provider, f"{provider}:{name}"))


@attrs.frozen(eq=False)
class Entry:
    """One algorithm as the registry knows it, imported or not."""

    name: str
    provider: str
    version: str
    location: str
    algorithm: type[torch.optim.Optimizer] | None = None
    entry_point: EntryPoint | None = None

    @property
    def qualified(self) -> str:
        """The name that no other distribution can claim."""
        return f"{self.provider}:{self.name}"

    @property
    def is_disabled(self) -> bool:
        """Whether ``OPTKIT_DISABLE_PLUGINS`` names it."""
        return is_disabled(self.name, self.provider)


@attrs.frozen(eq=False, repr=False)
class Registrar:
    """What a whole plugin registers its algorithms with; it signs with the plugin's name."""

    registry: Registry
    provider: str
    conversions: list[tuple[str, Any]] = attrs.Factory(list)

    def register(self, name: str, algorithm: type, *, replace: bool = False) -> None:
        """Register an algorithm; see `optkit.register`."""
        self.registry.add(name, algorithm, provider=self.provider, replace=replace)

    def migration(self, schema: str, version: int, function: Any) -> None:
        """Register a migration; see `optkit_core.migration`."""
        conversion_registry.migration(schema, version)(function)
        self.conversions.append((schema, version))

    def importer(self, schema: str, source: str, function: Any) -> None:
        """Register an importer; see `optkit_core.importer`."""
        conversion_registry.importer(schema, source)(function)
        self.conversions.append((schema, source))


class Registry:
    """Algorithms by name: those of the metadata and those registered at run time."""

    def __init__(self) -> None:
        """Start empty; the metadata is read when it is first needed."""
        self._added: dict[str, list[Entry]] = {}
        self._imported: dict[str, type[torch.optim.Optimizer]] = {}
        self._scanned: tuple[tuple[str, ...], dict[str, list[Entry]]] | None = None
        self._lock = threading.RLock()

    def entries(self) -> Iterator[Entry]:
        """Yield every entry that isn't disabled, by name, importing nothing."""
        merged = {**self._declared(), **{key: own[-1:] for key, own in self._added.items()}}
        for key in sorted(merged):
            yield from (entry for entry in merged[key] if not entry.is_disabled)

    def find(self, name: str) -> Entry:
        """Return the one entry that goes by `name` or ``"distribution:name"``.

        Raises:
            UnknownAlgorithmError: there is none; names the close matches.
            AmbiguousAlgorithmError: several distributions claim the name.
        """
        if not isinstance(name, str):
            raise UnknownAlgorithmError(f"an algorithm's name must be a string, got {name!r}.")
        found = self._matching(name)
        if len(found) == 1:
            return found[0]
        raise self._ambiguous(name, found) if found else self._unknown(name)

    def algorithm(self, entry: Entry) -> type[torch.optim.Optimizer]:
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
        self._added.setdefault(key, []).append(Entry(name, provider, "", location, algorithm))

    def remove(self, name: str) -> None:
        """Take back a registration made at run time; one that it replaced shows again."""
        own = self._added.get(normalized(name), [])
        if not own:
            raise RegistrationError(f"{name!r} wasn't registered at run time.")
        own.pop()
        if not own:
            del self._added[normalized(name)]

    @contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Take back the registrations made in the block if it raises."""
        before = {key: list(own) for key, own in self._added.items()}
        try:
            yield
        except BaseException:
            self._added = before
            raise

    def registrar(self, provider: str) -> Registrar:
        """Return what the plugin named `provider` registers its algorithms with."""
        return Registrar(self, provider)

    def _matching(self, name: str) -> list[Entry]:
        provider, _, bare = name.rpartition(":")
        key = normalized(bare)
        added = self._added.get(key, [])[-1:]
        declared = self._declared().get(key, [])
        if provider:
            both = [*added, *declared]
            found = [e for e in both if normalized(e.provider) == normalized(provider)]
        else:
            found = added or declared
        return [entry for entry in found if not entry.is_disabled]

    def _declared(self) -> dict[str, list[Entry]]:
        path = tuple(sys.path)
        if self._scanned is None or self._scanned[0] != path:
            found: dict[str, list[Entry]] = {}
            for entry_point in entry_points(group=ALGORITHMS):
                found.setdefault(normalized(entry_point.name), []).append(_entry(entry_point))
            self._scanned = (path, found)
        return self._scanned[1]

    def _unknown(self, name: str) -> UnknownAlgorithmError:
        bare = name.rpartition(":")[2]
        same = [*self._declared().get(normalized(bare), []), *self._added.get(normalized(bare), [])]
        if any(entry.is_disabled for entry in same):
            return UnknownAlgorithmError(f"{name!r} is blocked by the variable {hooks.DISABLED}.")
        known = [entry.name for entry in self.entries()]
        return UnknownAlgorithmError(
            f"no algorithm is called {name!r}.{did_you_mean(bare, known)} "
            "optkit.available() and `optkit list` give all names."
        )

    def _ambiguous(self, name: str, found: list[Entry]) -> AmbiguousAlgorithmError:
        owners = " and ".join(f"{entry.provider} {entry.version}" for entry in found)
        ways = " or ".join(repr(entry.qualified) for entry in found)
        return AmbiguousAlgorithmError(f"{name!r} is claimed by {owners}. Say which: {ways}.")


registry = Registry()


def _entry(entry_point: EntryPoint) -> Entry:
    name, version = owner(entry_point)
    return Entry(entry_point.name, name, version, entry_point.value, entry_point=entry_point)


def _import(entry: Entry) -> type[torch.optim.Optimizer]:
    assert entry.entry_point is not None
    algorithm = hooks.load(entry.entry_point)
    _check_class(f"{entry.location} of distribution {entry.provider}", algorithm, PluginError)
    if not hooks.manager.is_registered(algorithm):
        hooks.add(algorithm, entry.qualified)
    found: type[torch.optim.Optimizer] = algorithm
    return found


def _check_class(what: str, algorithm: Any, error: type[Exception]) -> None:
    if not (isinstance(algorithm, type) and issubclass(algorithm, torch.optim.Optimizer)):
        raise error(f"{what} must be a subclass of torch.optim.Optimizer, got {algorithm!r}.")


def check_name(name: str) -> None:
    """Raise unless `name` can be an algorithm's name.

    Raises:
        RegistrationError: it isn't letters, digits, ``-`` and ``_``.
    """
    plain = isinstance(name, str) and f"_{normalized(name)}".isidentifier() and normalized(name)
    if not plain:
        raise RegistrationError(
            f"an algorithm's name must be letters, digits, '-' and '_', got {name!r}."
        )


def owner(entry_point: EntryPoint) -> tuple[str, str]:
    """Return a distribution's name and version; a broken one may lack them."""
    dist = entry_point.dist
    return (dist.name or "unknown", dist.version or "") if dist is not None else ("unknown", "")
