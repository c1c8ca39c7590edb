"""A saved state parsed: its groups, and the schema they carry; no value is checked yet."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import attrs

from optkit_core.checkpoint.load import rearranged_groups, structure
from optkit_core.checkpoint.schema import STATES, TAG, WRITER, parse_identity
from optkit_core.errors import CheckpointError

NO_OPTIONS = frozenset({"params", "param_names", TAG, WRITER, STATES})
"""Keys of a group that say what it is about, not how it is optimized."""


class Owned(dict[str, Any]):
    """A state dict that nobody else holds: its tensors may become the optimizer's."""


@attrs.frozen(eq=False)
class ParsedGroup:
    """One saved parameter group: the keys of its parameters' state, their names, its options.

    Its schema is as the group carries it, None where it carries none.
    """

    ids: tuple[Hashable, ...]
    names: tuple[str, ...] | None
    options: Mapping[str, Any]
    schema: Any = None


@attrs.frozen(eq=False)
class ParsedState:
    """A saved state whose structure is right."""

    groups: tuple[ParsedGroup, ...]
    state: Mapping[Hashable, Mapping[str, Any]]


def copy_containers(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy that shares the tensors and nothing else, to be changed freely.

    Raises:
        CheckpointError: its structure is wrong.
    """
    structure.require(state_dict)
    return {
        "state": {key: _copied(own) for key, own in state_dict["state"].items()},
        "param_groups": [_copied(group) for group in state_dict["param_groups"]],
    }


def parse(state_dict: Mapping[str, Any]) -> ParsedState:
    """Parse a state whose structure is right; nothing is copied.

    Raises:
        CheckpointError: a group's parameters aren't a list, or one of them appears twice.
    """
    given = rearranged_groups.with_true_names(state_dict["param_groups"])
    groups = tuple(_group(position, g) for position, g in enumerate(given))
    ids = [key for group in groups for key in group.ids]
    if len(set(ids)) < len(ids):
        raise CheckpointError(
            "a parameter stands twice in the saved groups. Take another copy, or an earlier one."
        )
    return ParsedState(groups, state_dict["state"])


def schema_identity(state_dict: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return name and version of the schema that all saved groups carry; None if none does.

    Raises:
        CheckpointError: they differ, or one isn't a schema's identity.
    """
    tags = schema_tags(state_dict)
    if len(tags) > 1:
        raise CheckpointError(
            f"the saved groups belong to different schemas, {tags[0]!r:.60} and {tags[1]!r:.60}. "
            "A state of several algorithms is loaded into an optimizer whose groups name them."
        )
    return parse_identity(tags[0]) if tags and tags[0] is not None else None


def schema_tags(state_dict: Mapping[str, Any]) -> list[Any]:
    """Return what the saved groups carry as their schemas, each once; None for a group without.

    Raises:
        CheckpointError: one isn't a schema's identity.
    """
    tags: list[Any] = []
    for group in state_dict["param_groups"]:
        tag = group.get(TAG)
        if tag not in tags:
            tags.append(tag)
    for tag in tags:
        if tag is not None:
            parse_identity(tag)
    return tags


def _group(position: int, group: dict[str, Any]) -> ParsedGroup:
    ids, names = group.get("params"), group.get("param_names")
    if not isinstance(ids, (list, tuple)) or not all(isinstance(i, (int, str)) for i in ids):
        raise CheckpointError(
            f"'params' of saved group {position} must be a list of numbers or names, "
            f"got {ids!r:.60}."
        )
    if names is not None:
        _require_names(position, names, len(ids))
    options = {key: value for key, value in group.items() if key not in NO_OPTIONS}
    return ParsedGroup(tuple(ids), None if names is None else tuple(names), options, group.get(TAG))


def _require_names(position: int, names: Any, count: int) -> None:
    is_list = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not is_list or len(names) != count or len(set(names)) < count:
        raise CheckpointError(
            f"'param_names' of saved group {position} must be {count} different names, "
            f"got {names!r:.60}."
        )


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return type(value)(map(_copied, value))
    return value
