"""Saved states as they come: their outer shape is checked, and nothing else is believed yet."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from itertools import chain
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.checkpoint.schema import TAG, WRITER, parse
from optkit_core.errors import CheckpointError

NOT_OPTIONS = frozenset({"params", "param_names", TAG, WRITER})
"""Keys of a group that say what it is about, not how it is optimized."""

SINGLE = frozenset({Tensor, torch.nn.Parameter, bool, int, float, complex, str, type(None)})
"""Types of which a copy needs no copy."""

NAMES = frozenset({str})

MOST_LEVELS = 10
"""How deep lists and dicts may be nested; the state of L-BFGS has two levels."""


class Owned(dict[str, Any]):
    """A state dict that nobody else holds: its tensors may become the optimizer's."""


@attrs.frozen(eq=False)
class SavedGroup:
    """One saved parameter group: the keys of its parameters' state, their names, its options."""

    ids: tuple[Hashable, ...]
    names: tuple[str, ...] | None
    options: Mapping[str, Any]


@attrs.frozen(eq=False)
class Saved:
    """A saved state whose outer shape is right."""

    groups: tuple[SavedGroup, ...]
    state: Mapping[Hashable, Mapping[str, Any]]


def require_shape(state_dict: Any) -> None:
    """Check the outer shape of a saved state.

    Raises:
        CheckpointError: it isn't a dict of ``"state"`` and ``"param_groups"`` of plain things.
    """
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        found = sorted(map(repr, state_dict)) if isinstance(state_dict, Mapping) else ""
        raise CheckpointError(
            "saved state must be a dict with 'state' and 'param_groups', got "
            f"{type(state_dict).__name__} {', '.join(found):.200}."
        )
    state, groups = state_dict["state"], state_dict["param_groups"]
    if not isinstance(state, Mapping) or not isinstance(groups, (list, tuple)):
        raise CheckpointError(
            f"'state' must be a dict and 'param_groups' a list, got {type(state).__name__} and "
            f"{type(groups).__name__}."
        )
    _require_keyed("state", state.values())
    _require_keyed("a parameter group", groups)


def detached(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy that shares the tensors and nothing else, to be changed freely.

    Raises:
        CheckpointError: its outer shape is wrong.
    """
    require_shape(state_dict)
    return {
        "state": {key: _unshared(own) for key, own in state_dict["state"].items()},
        "param_groups": [_unshared(group) for group in state_dict["param_groups"]],
    }


def read(state_dict: Mapping[str, Any]) -> Saved:
    """Read a state whose outer shape is right; nothing is copied.

    Raises:
        CheckpointError: a group's parameters aren't a list, or one of them appears twice.
    """
    groups = tuple(_group(position, g) for position, g in enumerate(state_dict["param_groups"]))
    ids = [key for group in groups for key in group.ids]
    if len(set(ids)) < len(ids):
        raise CheckpointError("a parameter stands twice in the saved groups.")
    return Saved(groups, state_dict["state"])


def identity(state_dict: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return name and version of the schema that all saved groups carry; None if none does.

    Raises:
        CheckpointError: they differ, or one isn't a schema's identity.
    """
    tags = [group.get(TAG) for group in state_dict["param_groups"]]
    for tag in tags[1:]:
        if tag != tags[0]:
            raise CheckpointError(
                f"the saved groups belong to different schemas, {tags[0]!r:.60} and {tag!r:.60}."
            )
    return parse(tags[0]) if tags and tags[0] is not None else None


def _group(position: int, group: dict[str, Any]) -> SavedGroup:
    ids, names = group.get("params"), group.get("param_names")
    if not isinstance(ids, (list, tuple)) or not all(isinstance(i, (int, str)) for i in ids):
        raise CheckpointError(
            f"'params' of saved group {position} must be a list of numbers or names, "
            f"got {ids!r:.60}."
        )
    if names is not None:
        _require_names(position, names, len(ids))
    options = {key: value for key, value in group.items() if key not in NOT_OPTIONS}
    return SavedGroup(tuple(ids), None if names is None else tuple(names), options)


def _require_names(position: int, names: Any, count: int) -> None:
    is_list = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not is_list or len(names) != count or len(set(names)) < count:
        raise CheckpointError(
            f"'param_names' of saved group {position} must be {count} different names, "
            f"got {names!r:.60}."
        )


def _require_keyed(what: str, items: Collection[Any]) -> None:
    if {*map(type, items)} <= {dict} and _are_plain(items):
        return
    for item in items:
        if not isinstance(item, dict) or not NAMES.issuperset(map(type, item)):
            raise CheckpointError(f"{what} must be a dict with names as keys, got {item!r:.60}.")
        _require_levels(item, MOST_LEVELS)


def _are_plain(dicts: Collection[dict[Any, Any]]) -> bool:
    """Whether dicts have names as keys, and lists and dicts aren't among their values."""
    keys = chain.from_iterable(dicts)
    values = chain.from_iterable(map(dict.values, dicts))
    return NAMES.issuperset(map(type, keys)) and SINGLE.issuperset(map(type, values))


def _require_levels(value: Any, most: int) -> None:
    """Raise if lists and dicts are nested in more than so many levels."""
    if not isinstance(value, (dict, list, tuple)):
        return
    if most < 0:
        raise CheckpointError(f"saved state is nested more than {MOST_LEVELS} levels deep.")
    items = value.values() if isinstance(value, dict) else value
    if SINGLE.issuperset(map(type, items)):
        return
    for item in items:
        _require_levels(item, most - 1)


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return type(value)(map(_unshared, value))
    return value
