"""The arguments of a constructor: the order of declarations, and which are by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from optkit_core.declaration.fields import Declaration
from optkit_core.declaration.roles import Role
from optkit_core.errors import DeclarationError, did_you_mean


def in_order(declared: Mapping[str, Declaration]) -> list[tuple[str, Declaration]]:
    """Return the declarations in the order of the constructor's arguments."""
    # sorted() is stable: within each kind, the order of the class body stays.
    return sorted(declared.items(), key=lambda pair: (pair[1].kw_only, pair[1].is_option))


def placed(
    declared: Mapping[str, Declaration], by_position: Sequence[str]
) -> dict[str, Declaration]:
    """Return declarations with some options by position, in their order, all others by keyword.

    Args:
        declared: the declarations by name.
        by_position: the names of those options.

    Raises:
        DeclarationError: one of them is no option.
    """
    options = {name: item for name, item in declared.items() if item.is_option}
    for name in by_position:
        if name not in options:
            raise DeclarationError(
                f"options_by_position names {name!r}.{did_you_mean(name, options)} The options "
                f"are {', '.join(options)}."
            )
    values = {name: item for name, item in declared.items() if name not in options}
    order = [*by_position, *(name for name in options if name not in by_position)]
    moved = {name: attrs.evolve(options[name], kw_only=name not in by_position) for name in order}
    return {**values, **moved}


def positional(declared: Mapping[str, Declaration]) -> tuple[str, ...]:
    """Return the names that the constructor takes by position after params, in order."""
    return tuple(name for name, item in in_order(declared) if not item.kw_only)


def names(declared: Mapping[str, Declaration], *roles: Role) -> tuple[str, ...]:
    """Return the names of the declarations that have one of some roles.

    Args:
        declared: the declarations by name.
        *roles: the roles.
    """
    return tuple(name for name, item in declared.items() if item.role in roles)
