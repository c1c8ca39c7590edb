"""Conversions that plugins register: from one schema version to the next, and from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from optkit_core.errors import RegistrationError

Migrate = Callable[[dict[str, Any]], dict[str, Any] | None]
Import = Callable[[dict[str, Any]], dict[str, Any] | None]
Function = TypeVar("Function", bound=Callable[..., Any])

migrations: dict[tuple[str, int], Migrate] = {}
importers: dict[tuple[str, str], Import] = {}


def migration(schema: str, version: int) -> Callable[[Function], Function]:
    """Register how saved state of one schema version becomes state of the next; a decorator.

    The function gets a saved state, ``{"state": {...}, "param_groups": [...]}``, whose dicts and
    lists are its own while the tensors may be in use elsewhere: it replaces tensors and never
    changes them in place. It changes the dict, or returns another. Migrations are chained.

    Args:
        schema: the algorithm's name in checkpoints, its ``schema_name``.
        version: the version that the function starts from, at least 1.

    Returns:
        The decorator, which returns the function as it is.

    Raises:
        RegistrationError: another function is registered for that.

    >>> @migration("docs-lion", 1)
    ... def rename_momentum(state_dict):
    ...     for state in state_dict["state"].values():
    ...         state["exp_avg"] = state.pop("momentum")
    """
    if not isinstance(version, int) or version < 1:
        raise RegistrationError(
            f"a migration starts from a version of at least 1, got {version!r}."
        )
    return _decorator(migrations, (schema, version), f"migration from {schema}/{version}")


def importer(schema: str, source: str) -> Callable[[Function], Function]:
    """Register how state that another program saved becomes state of a schema; a decorator.

    The function gets a saved state as one of `migration` does. It returns it converted, or
    None unless it is certain that the state comes from that program and that algorithm.

    Args:
        schema: the algorithm's name in checkpoints, its ``schema_name``.
        source: the program that saved it.

    Returns:
        The decorator, which returns the function as it is.

    Raises:
        RegistrationError: another function is registered for that.

    >>> @importer("docs-lion", "elsewhere")
    ... def from_elsewhere(state_dict):
    ...     return None
    """
    return _decorator(importers, (schema, source), f"importer of {schema} from {source}")


def forget(registered: Iterable[tuple[str, int | str]]) -> None:
    """Take back what was registered for a schema's versions and sources."""
    for key in registered:
        table: dict[Any, Any] = migrations if isinstance(key[1], int) else importers
        table.pop(key, None)


def _decorator(table: dict[Any, Any], key: Any, what: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        taken = table.get(key)
        # By name, since a module that is reloaded registers its functions again.
        if taken is not None and _name(taken) != _name(function):
            raise RegistrationError(
                f"{what} is taken by {_name(taken)}, so {_name(function)} can't be registered."
            )
        table[key] = function
        return function

    return register


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"
