"""The structure of saved states: dicts and lists are where they should be, before more is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from optkit_core.checkpoint.load import rearranged_groups
from optkit_core.checkpoint.schema import STATES
from optkit_core.errors import CheckpointError

LEAVES = frozenset({Tensor, torch.nn.Parameter, bool, int, float, complex, str, type(None)})
"""Types of values that hold no others."""

NAMES = frozenset({str})
NUMBERS = frozenset({int})

MAX_DEPTH = 10
"""How deep lists and dicts may be nested; a buffer that is a list of vectors has two levels."""


def require(state_dict: Any) -> None:
    """Check that a saved state is a dict of ``"state"`` and ``"param_groups"`` of plain things.

    Raises:
        CheckpointError: it isn't; says what is elsewhere.
    """
    _require_top(state_dict)
    _require_named("state", state_dict["state"].values())
    _require_named("a parameter group", state_dict["param_groups"])
    _require_filled(state_dict)
    rearranged_groups.require_options(state_dict["param_groups"])


def _require_filled(state_dict: Any) -> None:
    """Raise where groups tell of states, and there is none."""
    told = [group.get(STATES) for group in state_dict["param_groups"]]
    if any(told) and not state_dict["state"]:
        raise CheckpointError(
            "the saved groups tell of state, and there is none: torch.distributed.checkpoint fills "
            "what is in a state dict already, and this one was of an optimizer without state. Save "
            'and load by names: state = {"optimizer": get_optimizer_state_dict(model, optimizer)}; '
            'dcp.load(state); set_optimizer_state_dict(model, optimizer, state["optimizer"]).'
        )


def split_user_entries(
    state_dict: Any, buffers: Collection[str] = ()
) -> tuple[Any, dict[Any, Any]]:
    """Split a saved state into what is of parameters and what user code put there.

    User code may put anything into ``optimizer.state``, under a key of its own. Parameters are
    numbered, or called by name; then other names are no keys of user code.

    Args:
        state_dict: as it was given; it isn't changed.
        buffers: names by which a parameter's state is known, whatever its key is.

    Returns:
        What is left of it, and the entries.

    Raises:
        CheckpointError: it isn't a dict of a dict ``"state"`` and a list ``"param_groups"``.

    >>> state = {0: {"step": 1.0}, "epoch": 7}
    >>> split_user_entries({"state": state, "param_groups": [{"params": [0]}]})
    ({'state': {0: {'step': 1.0}}, 'param_groups': [{'params': [0]}]}, {'epoch': 7})
    """
    _require_top(state_dict)
    state, groups = state_dict["state"], state_dict["param_groups"]
    # Nearly every state: parameters are numbered, and nobody has added anything.
    if NUMBERS.issuperset(map(type, state)) or not all(map(_is_numbered, groups)):
        return state_dict, {}
    entries = {
        key: value
        for key, value in state.items()
        if not isinstance(key, int) and not (isinstance(value, dict) and value.keys() & buffers)
    }
    _require_depth(entries, MAX_DEPTH)
    own = {key: value for key, value in state.items() if key not in entries}
    return {**state_dict, "state": own}, entries


def _require_top(state_dict: Any) -> None:
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        keys = sorted(map(repr, state_dict)) if isinstance(state_dict, Mapping) else ""
        raise CheckpointError(
            "saved state must be a dict with 'state' and 'param_groups', got "
            f"{type(state_dict).__name__} {', '.join(keys):.200}."
        )
    state, groups = state_dict["state"], state_dict["param_groups"]
    if not isinstance(state, Mapping) or not isinstance(groups, (list, tuple)):
        raise CheckpointError(
            f"'state' must be a dict and 'param_groups' a list, got {type(state).__name__} and "
            f"{type(groups).__name__}."
        )


def _is_numbered(group: Any) -> bool:
    """Whether the parameters of a saved group are numbers; what isn't a group is, too."""
    ids = group.get("params") if isinstance(group, dict) else None
    return not isinstance(ids, (list, tuple)) or NUMBERS.issuperset(map(type, ids))


def _require_named(what: str, items: Collection[Any]) -> None:
    # Loops in C over types alone: a large state has tens of thousands of values.
    if {*map(type, items)} <= {dict} and _are_plain(items):
        return
    for item in items:
        if not isinstance(item, dict) or not NAMES.issuperset(map(type, item)):
            raise CheckpointError(f"{what} must be a dict with names as keys, got {item!r:.60}.")
        _require_depth(item, MAX_DEPTH)


def _are_plain(dicts: Collection[dict[Any, Any]]) -> bool:
    """Whether dicts have names as keys, and lists and dicts aren't among their values."""
    keys = chain.from_iterable(dicts)
    values = chain.from_iterable(map(dict.values, dicts))
    return NAMES.issuperset(map(type, keys)) and LEAVES.issuperset(map(type, values))


def _require_depth(value: Any, depth: int) -> None:
    """Raise if lists and dicts are nested in more than so many levels."""
    if not isinstance(value, (dict, list, tuple)):
        return
    # A forged file could nest until Python's stack overflows.
    if depth < 0:
        raise CheckpointError(f"saved state is nested more than {MAX_DEPTH} levels deep.")
    items = value.values() if isinstance(value, dict) else value
    if LEAVES.issuperset(map(type, items)):
        return
    for item in items:
        _require_depth(item, depth - 1)
