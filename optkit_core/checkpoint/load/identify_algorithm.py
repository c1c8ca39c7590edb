"""Which algorithm saved a state: another one's is refused, one of an older version migrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optkit_core.checkpoint.load import importers, parsing, structure
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.migrations import migrated
from optkit_core.checkpoint.schema import TAG, parse_identity, schema_of
from optkit_core.declaration.base import Declared
from optkit_core.declaration.roles import ALGORITHM
from optkit_core.errors import CheckpointError
from optkit_core.plugins.kinds import normalized


def in_present_schemas(
    algorithms: Sequence[type[Declared]], state_dict: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return a saved state in the present schemas of the algorithms of an optimizer.

    Args:
        algorithms: optkit optimizer classes, those of its groups.
        state_dict: as it was given; it isn't changed.

    Returns:
        What `in_present_schema` does.

    Raises:
        CheckpointError: groups belong to other algorithms or to later versions, or it isn't
            certain what they are.
    """
    if len(algorithms) == 1:
        return in_present_schema(algorithms[0], state_dict)
    structure.require(state_dict)
    owners = [_owner(algorithms, *pair) for pair in enumerate(state_dict["param_groups"])]
    state: dict[Any, Any] = {}
    groups: dict[int, Any] = {}
    steps: list[str] = []
    for algorithm in dict.fromkeys(owners):
        positions = [i for i, owner in enumerate(owners) if owner is algorithm]
        own, done = in_present_schema(algorithm, _part(state_dict, positions))
        tag = schema_of(algorithm).identity
        groups.update(zip(positions, ({**g, TAG: tag} for g in own["param_groups"]), strict=True))
        state |= own["state"]
        steps += done
    ids = {key for group in state_dict["param_groups"] for key in _ids(group)}
    state |= {key: own for key, own in state_dict["state"].items() if key not in ids}
    return {"state": state, "param_groups": [groups[i] for i in range(len(owners))]}, steps


def require_same(
    algorithms: Sequence[type[Declared]],
    saved: parsing.ParsedState,
    matched: Sequence[MatchedGroup],
) -> None:
    """Raise where parameters were saved by another algorithm than that of their group.

    Args:
        algorithms: the class of each group.
        saved: the saved state, with the schemas of its groups.
        matched: which of its groups belong to which of the optimizer's.

    Raises:
        CheckpointError: naming every such group, and nothing has changed.
    """
    if len(set(algorithms)) == 1:
        return  # compared already
    pairs = [
        (position, algorithm, saved.groups[source])
        for position, (algorithm, group) in enumerate(zip(algorithms, matched, strict=True))
        for source in group.sources
        if source < len(saved.groups)
    ]
    lines = [
        f"group {position} is of {algorithm.schema_name}, what was saved for it of {group.schema}"
        for position, algorithm, group in pairs
        if parse_identity(group.schema)[0] != algorithm.schema_name
    ]
    if lines:
        raise CheckpointError(
            f"this state is of other algorithms: {'; '.join(lines)}. Let each group name the "
            "algorithm that saved it."
        )


def _owner(
    algorithms: Sequence[type[Declared]], position: int, group: dict[str, Any]
) -> type[Declared]:
    """Return the class that saved a group: by its schema, or by the algorithm that it names."""
    tag, named = group.get(TAG), str(group.get(ALGORITHM, "")).rpartition(":")[2]
    known = {normalized(one.schema_name): one for one in algorithms}
    owner = known.get(normalized(named if tag is None else parse_identity(tag)[0]))
    if owner is None:
        whose = f"is of {tag or named}" if tag or named else "doesn't say of which algorithm it is"
        raise CheckpointError(
            f"saved group {position} {whose:.120}; those of this optimizer are of "
            f"{' and '.join(schema_of(one).identity for one in algorithms)}. Let each group name "
            "the algorithm that saved it."
        )
    return owner


def _part(state_dict: Any, positions: Sequence[int]) -> dict[str, Any]:
    """Return a state of some groups alone."""
    groups = [state_dict["param_groups"][position] for position in positions]
    state, ids = state_dict["state"], [key for group in groups for key in _ids(group)]
    return {"state": {key: state[key] for key in ids if key in state}, "param_groups": groups}


def _ids(group: dict[str, Any]) -> list[Any]:
    """Return the keys of a group's states; what else may stand there is refused later."""
    ids = group.get("params")
    items = ids if isinstance(ids, (list, tuple)) else ()
    return [key for key in items if isinstance(key, (int, str))]


def in_present_schema(
    algorithm: type[Declared], state_dict: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return a saved state in the present schema of an algorithm.

    Args:
        algorithm: an optkit optimizer class.
        state_dict: as it was given; it isn't changed.

    Returns:
        The state and what was done to it: the one that was given if that is nothing, else a
        copy that shares the tensors.

    Raises:
        CheckpointError: it belongs to another algorithm or to a later version, or what it is
            isn't certain.
    """
    structure.require(state_dict)
    identity = parsing.schema_identity(state_dict)
    if identity is None:
        return importers.recognized(algorithm, state_dict)
    name, version = identity
    # Even if shapes agree: a second moment isn't a norm.
    if name != algorithm.schema_name:
        raise CheckpointError(
            f"this state is of {name}/{version}, this optimizer is {algorithm.__name__}, of "
            f"{algorithm.schema_name}/{algorithm.schema_version}. Create the optimizer that saved "
            "it, and load it there."
        )
    if version == algorithm.schema_version:
        return state_dict, []
    return migrated(parsing.copy_containers(state_dict), algorithm, name, version)
