"""Groups as torch's distributed layer rearranges them: by parameters, whose names are the keys.

``set_optimizer_state_dict`` brings the keys of a saved group into the order of the optimizer's
parameters, and leaves everything else in the group as it was, the names of the parameters too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from optkit_core.checkpoint.load import parameter_names
from optkit_core.errors import CheckpointError


def with_true_names(groups: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return saved groups of which each name belongs to the key at its position.

    Args:
        groups: as they were given; they aren't changed.
    """
    if not any(map(_are_left_behind, groups)):
        return groups
    return [{**g, "param_names": list(g["params"])} if "param_names" in g else g for g in groups]


def require_options(groups: Sequence[Any]) -> None:
    """Raise where a group has nothing but parameters, since another one got its options.

    Args:
        groups: the saved groups, which may be anything.

    Raises:
        CheckpointError: there is such a group.
    """
    for position, group in enumerate(groups):
        if isinstance(group, Mapping) and group.keys() == {"params"} and _is_named(group["params"]):
            raise CheckpointError(
                f"saved group {position} has no options: torch's distributed layer gives those of "
                "one saved group to one group alone, and these parameters were saved in a group "
                "with others. Save and load with StateDictOptions(flatten_optimizer_state_dict="
                "True), which keeps the options of each parameter."
            )


def _is_named(ids: Any) -> TypeGuard[Sequence[str]]:
    return isinstance(ids, (list, tuple)) and bool(ids) and all(isinstance(i, str) for i in ids)


def _are_left_behind(group: Mapping[str, Any]) -> bool:
    """Return whether the names of a group aren't those of its keys, one by one."""
    ids, names = group.get("params"), group.get("param_names")
    if not _is_named(ids) or not _is_named(names):
        return False
    if len(ids) != len(names):
        return True
    sources = parameter_names.pair(names, ids).sources
    # Names of the user's own choice have nothing to do with the keys.
    return len(sources) == len(names) and [sources[i] for i in ids] != list(names)
