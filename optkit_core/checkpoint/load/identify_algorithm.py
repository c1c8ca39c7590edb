"""Which algorithm saved a state: another one's is refused, one of an older version migrated."""

from __future__ import annotations

from typing import Any

from optkit_core.checkpoint.load import importers, parsing, structure
from optkit_core.checkpoint.migrations import migrated
from optkit_core.declaration.base import Declared
from optkit_core.errors import CheckpointError


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
