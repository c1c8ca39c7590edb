"""Copies of an optimizer: what goes along, and what stays behind with a warning.

Every attribute goes along, torch's hooks too, but for caches and for what a tool has put over
a method of this one instance, as a scheduler puts a function over ``step``. A hook or
attribute that can't be copied stays behind and is named in one `CopyWarning`. Pickles follow
the same rules.
"""

from __future__ import annotations

import copy
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch

from optkit_core.errors import CopyWarning
from optkit_core.torch_hooks import MAY_STAY, REMADE, TABLES
from optkit_core.torch_private import TRACKED

REQUIRED = frozenset({"defaults", "state", "param_groups", "request", "_members"})
"""What no optimizer can be without; an error in copying it is raised."""

CACHES = (
    frozenset({"chooser", "_plan", "_begun", "_known", "_parts", "_replaced", "scaling"})
    | {"_completions"}
    | REMADE
)
"""Attributes that a copy finds out for itself."""

AGAIN = "Register or set them again on the copy."

Carry = Callable[[Any], Any]
Copied = TypeVar("Copied", bound=torch.optim.Optimizer)


def attributes(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what copies and pickles of an optimizer take along, by name."""
    state: Any = object.__getstate__(optimizer)
    # A pair where a subclass has slots.
    plain, slots = state if isinstance(state, tuple) else (state, {})
    kept = {
        name: value
        for name, value in {**plain, **slots}.items()
        if name not in CACHES and not callable(getattr(torch.optim.Optimizer, name, None))
    }
    return {**kept, TRACKED: True} if hasattr(optimizer.step, TRACKED) else kept


def shallow(optimizer: Copied) -> Copied:
    """Return a copy that shares groups, state and attributes, with hook tables of its own."""
    twin = object.__new__(type(optimizer))
    state = optimizer.__getstate__()
    rebind = partial(_rebound, old=optimizer, new=twin)
    twin.__setstate__(carried(optimizer, state, rebind, "copy", AGAIN) | required(state))
    return twin


def deep(optimizer: Copied, memo: dict[int, Any]) -> Copied:
    """Return a copy that shares nothing but what `copy.deepcopy` shares, such as functions.

    Args:
        optimizer: what is copied.
        memo: of `copy.deepcopy`.
    """
    # Noted first: hooks and attributes may refer to the optimizer.
    twin = memo[id(optimizer)] = object.__new__(type(optimizer))
    state = optimizer.__getstate__()
    carried_along = carried(optimizer, state, partial(_deepcopied, memo=memo), "deep copy", AGAIN)
    for name in tables(state):  # a handle is copied together with the table that it refers to
        carried_along[name] = memo.setdefault(id(state[name]), carried_along[name])
    twin.__setstate__(carried_along | copy.deepcopy(required(state), memo))
    return twin


def required(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an optimizer's attributes that it can't be without."""
    return {name: value for name, value in state.items() if name in REQUIRED}


def carried(
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    carry: Carry,
    doing: str,
    advice: str,
) -> dict[str, Any]:
    """Return what `carry` makes of each hook and each other attribute; warn where it fails.

    Args:
        optimizer: what is being copied.
        state: its attributes.
        carry: returns what the copy gets for a value.
        doing: what is being done, for the warning: ``"copy"`` for example.
        advice: what to do about it, for the warning.
    """
    lost: dict[str, Exception] = {}
    others = {name: v for name, v in state.items() if name not in REQUIRED and name not in TABLES}
    taken = _taken(others, carry, "attribute {name}", lost)
    for name in tables(state):
        taken[name] = OrderedDict(_taken(state[name], carry, TABLES[name] + " {value}", lost))
    if lost:
        named = "; ".join(f"{what} ({error})" for what, error in lost.items())
        message = f"a {doing} of {type(optimizer).__name__} goes without {named}. {advice}"
        warnings.warn(message, CopyWarning, stacklevel=4)  # the line that copies
    return taken


def tables(state: Mapping[str, Any]) -> list[str]:
    """Return the names of the hook tables in an optimizer's attributes."""
    return [name for name in TABLES if name in state]


def _taken(
    items: Mapping[Any, Any], carry: Carry, what: str, lost: dict[str, Exception]
) -> dict[Any, Any]:
    taken = {}
    for name, value in items.items():
        try:
            taken[name] = carry(value)
        except Exception as error:
            if not hasattr(value, MAY_STAY):
                lost[what.format(name=repr(name), value=_spelled(value))] = error
    return taken


def _rebound(value: Any, old: Any, new: Any) -> Any:
    """Return a method of `old` as one of `new`, and any other value as it is."""
    if isinstance(value, types.MethodType) and value.__self__ is old:
        return types.MethodType(value.__func__, new)
    return value


def _deepcopied(value: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy; a failure leaves nothing half copied in `memo`."""
    known = set(memo)
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        for key in memo.keys() - known:
            del memo[key]
        raise


def _spelled(value: Any) -> str:
    names = (getattr(value, "__module__", None), getattr(value, "__qualname__", None))
    return ".".join(map(str, names)) if all(names) else f"{value!r:.80}"
