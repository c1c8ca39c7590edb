"""Where torch keeps an optimizer's hooks: it is found by registering one, and known by no name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import optimizer as optimizers
from torch.utils.hooks import RemovableHandle, unserializable_hook

KINDS = tuple(
    f"{action}_{time}_hook"
    for action in ("step", "state_dict", "load_state_dict")
    for time in ("pre", "post")
)
"""The kinds of hooks that an optimizer has; ``register_`` and a kind is the method for it."""


class Bare(torch.optim.Optimizer):
    """An optimizer with nothing in it, but for what torch itself adds to a copy."""

    def __init__(self) -> None:
        """Come to be as a copy does."""
        self.__setstate__({"defaults": {}})


def table_of(register: Callable[..., RemovableHandle], owner: object) -> str:
    """Return under which name an object or a module keeps the hooks that a function registers.

    Args:
        register: takes a hook, and returns the handle that removes it.
        owner: what keeps them.

    Returns:
        The name of a dict, or ``""``.
    """

    def probe(*_: Any) -> None: ...

    with register(probe):
        tables = {name: v for name, v in vars(owner).items() if isinstance(v, dict)}
        found = (n for n, table in tables.items() if any(v is probe for v in table.values()))
        return next(found, "")


_bare = Bare()

TABLES = {table_of(getattr(_bare, f"register_{kind}"), _bare): kind for kind in KINDS}
"""The names of an optimizer's tables of hooks, with the kind that each one holds."""

PRE = table_of(_bare.register_step_pre_hook, _bare)
POST = table_of(_bare.register_step_post_hook, _bare)
GLOBAL_PRE = table_of(optimizers.register_optimizer_step_pre_hook, optimizers)
GLOBAL_POST = table_of(optimizers.register_optimizer_step_post_hook, optimizers)
IS_TOLD = all((PRE, POST, GLOBAL_PRE, GLOBAL_POST))
"""Whether each table of hooks around a step has been found."""

REMADE = frozenset(vars(_bare)) - TABLES.keys() - {"defaults"}
"""Other attributes that torch gives a copy by itself."""

MAY_STAY: str = next(iter(vars(unserializable_hook(lambda: None))), "")
"""The mark of ``torch.utils.hooks.unserializable_hook``: nobody misses this one in a pickle."""


def hooks_of(optimizer: torch.optim.Optimizer, kind: str) -> list[Callable[..., Any]]:
    """Return an optimizer's own hooks of one of the `KINDS`."""
    tables: list[Mapping[int, Callable[..., Any]]]
    tables = [getattr(optimizer, table, {}) for table in TABLES if TABLES[table] == kind]
    return [hook for table in tables for hook in table.values()]


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a hook is to be called around this optimizer's step, True if untold."""
    return not IS_TOLD or bool(
        getattr(optimizer, PRE, None)
        or getattr(optimizer, POST, None)
        or getattr(optimizers, GLOBAL_PRE, None)
        or getattr(optimizers, GLOBAL_POST, None)
    )


def reserve_hook_numbers(optimizer: torch.optim.Optimizer) -> None:
    """Let no hook to come have a number under which a table of this optimizer keeps one."""
    # A pickle brings the numbers of its own process, which this one may still give away.
    taken = [number + 1 for table in TABLES for number in getattr(optimizer, table, ())]
    if hasattr(RemovableHandle, "next_id"):
        RemovableHandle.next_id = max([RemovableHandle.next_id, *taken])
