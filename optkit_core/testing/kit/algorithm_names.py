"""The names that a user gives to the kit, and the registered algorithms that they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from optkit_core.api import available
from optkit_core.errors import OptkitError, UnknownAlgorithmError
from optkit_core.plugins import entry_points

WILDCARDS = frozenset("*?[")


def registered_names(given: Iterable[str]) -> list[str]:
    """Return the names of the algorithms that names and patterns stand for, each once.

    Args:
        given: names, ``"distribution:name"`` or shell patterns.

    Raises:
        OptkitError: there is no algorithm of a name, several have it, or none fits a pattern.

    >>> registered_names(["ada-max", "adam*"])
    ['adamax', 'adam', 'adamw']
    """
    found = [name for item in given for name in _matching(item)]
    return list(dict.fromkeys(found))


def _matching(item: str) -> list[str]:
    if not WILDCARDS & set(item):
        return [_listed(item)]
    if not available(item):
        entry_points.load_all()  # whole plugins register their algorithms when they are loaded
    if names := available(item):
        return names
    raise UnknownAlgorithmError(f"no algorithm fits {item!r}; `optkit list` gives all names.")


def _listed(name: str) -> str:
    """Return a name as `available` lists it."""
    if Path(name).exists() and name not in available(name):
        raise OptkitError(f"{name!r} is a file: files come before --optkit.")
    entry = entry_points.find(name)
    return entry.qualified if entry.qualified in available() else entry.name
