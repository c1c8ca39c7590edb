"""Migrations: saved state of a past version is brought to the present one, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optkit_core.checkpoint.conversion_registry import migrations
from optkit_core.checkpoint.schema import TAG, WRITER, writer_of
from optkit_core.declaration.base import Declared
from optkit_core.errors import CheckpointError


def migrated(
    state_dict: dict[str, Any],
    algorithm: type[Declared],
    name: str,
    version: int,
    to: int | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Bring a saved state from one version of its schema to another.

    Args:
        state_dict: one of `parsing.copy_containers`; it may be changed.
        algorithm: the class that the schema belongs to.
        name: the schema's name.
        version: the version that it has.
        to: the version that it is to have; None (default): the algorithm's own.

    Returns:
        The state, and the steps that were taken, as ``"adamax/1 to adamax/2"``.

    Raises:
        CheckpointError: it is of a later version, or nothing is registered for a step.
    """
    target = algorithm.schema_version if to is None else to
    if version > target:
        raise CheckpointError(_later_version(state_dict, algorithm, f"{name}/{version}"))
    steps = []
    for start in range(version, target):
        state_dict = _step(state_dict, name, start)
        steps.append(f"{name}/{start} to {name}/{start + 1}")
    return state_dict, steps


def _step(state_dict: dict[str, Any], name: str, version: int) -> dict[str, Any]:
    function = migrations.get((name, version))
    if function is None:
        raise CheckpointError(
            f"this state is of the schema {name}/{version}, and no migration to "
            f"{name}/{version + 1} is registered. The distribution that provides {name} should "
            "bring one."
        )
    result = call_converter(function, state_dict, f"the migration from {name}/{version}")
    state_dict = state_dict if result is None else result
    for group in state_dict["param_groups"]:
        group[TAG] = f"{name}/{version + 1}"
    return state_dict


def call_converter(function: Callable[[Any], Any], state_dict: dict[str, Any], what: str) -> Any:
    """Call what a plugin registered; damaged state makes it fail in any way.

    Args:
        function: a migration or an importer.
        state_dict: what it gets.
        what: what it is called in messages.

    Returns:
        What it returned.

    Raises:
        CheckpointError: it failed; names it and the cause.
    """
    try:
        return function(state_dict)
    # A plugin's code on damaged state: it may fail in any way, and must say for whom it did.
    except Exception as error:
        raise CheckpointError(
            f"{what} failed on this state: {type(error).__name__}: {error!s:.100}"
        ) from error


def _later_version(state_dict: dict[str, Any], algorithm: Any, identity: str) -> str:
    saved_by = next((group.get(WRITER) for group in state_dict["param_groups"]), None)
    installed = writer_of(algorithm)
    own = f"this one ({installed})" if installed else "this one"
    known = f"{own} knows versions up to {algorithm.schema_version}"
    if isinstance(saved_by, str) and saved_by:
        return f"this state is of {identity}, saved by {saved_by}; {known}. Install {saved_by:.60}."
    return f"this state is of {identity}; {known}. Install a later version of its distribution."
