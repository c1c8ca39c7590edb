"""What ``migrate`` does: a checkpoint is brought to a version of its schema and rewritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

import optkit
from optkit.cli.stored import Stored
from optkit.cli.user_errors import OptionError
from optkit_core.checkpoint import migrations
from optkit_core.checkpoint.file import checkpoint_file
from optkit_core.checkpoint.file.checkpoint_file import Checkpoint
from optkit_core.checkpoint.load import identify_algorithm, parsing, structure
from optkit_core.checkpoint.schema import TAG, schema_of
from optkit_core.optimizer import Optimizer


@attrs.frozen(eq=False)
class Plan:
    """What is to be written where, and what was done to it."""

    checkpoint: Checkpoint
    output: Path
    steps: tuple[str, ...]


def plan(stored: Stored, algorithm: str | None, to: int | None, output: Path | None) -> Plan:
    """Bring a checkpoint to a version of its schema, in memory.

    Args:
        stored: the file.
        algorithm: the name of the algorithm that saved it; None: as the file says.
        to: the version wanted; None: the present one.
        output: where to write it; None: in place of the file.

    Raises:
        OptionError: it isn't certain what the file is, or where the result goes.
        CheckpointError: the state isn't that algorithm's, or can't be brought to the version.
    """
    if output is None and stored.is_torchs:
        raise OptionError(
            f"{stored.path} is a file of torch.save, and the result is of another kind; name "
            "another file with --output."
        )
    cls = _class(stored, algorithm)
    given, others = structure.split_user_entries(stored.checkpoint.state_dict)
    brought, steps = _brought(parsing.copy_containers(given), cls, to)
    state_dict = {**brought, "state": {**brought["state"], **others}}
    checkpoint = Checkpoint(cls.__name__, state_dict)
    return Plan(checkpoint, output or stored.path, tuple(steps))


def carry_out(planned: Plan) -> None:
    """Write the file."""
    checkpoint_file.write(planned.checkpoint, planned.output)


def _class(stored: Stored, algorithm: str | None) -> Any:
    """Return the class whose state a file holds."""
    identity = parsing.schema_identity(stored.checkpoint.state_dict)
    name = algorithm or (identity[0] if identity else stored.checkpoint.algorithm)
    if not name:
        raise OptionError(
            f"{stored.path} doesn't say which algorithm saved it; name it with --algorithm."
        )
    cls = optkit.get(name)
    if not issubclass(cls, Optimizer):
        raise OptionError(f"{name} isn't an optkit algorithm, and its state has no versions.")
    return cls


def _brought(own: dict[str, Any], cls: Any, to: int | None) -> tuple[dict[str, Any], list[str]]:
    """Return a state of a class in a version of its schema, and what was done to it."""
    identity = parsing.schema_identity(own)
    if identity is not None and identity[0] == cls.schema_name:
        _refuse_version(cls, identity[1], to)
        return migrations.migrated(own, cls, *identity, to)
    if to not in (None, cls.schema_version):
        raise OptionError(f"--to {to}: what isn't of optkit goes to {cls.schema_version} only.")
    state_dict, steps = identify_algorithm.in_present_schema(cls, own)
    for group in state_dict["param_groups"]:
        group[TAG] = schema_of(cls).identity
    return state_dict, [*steps, f"marked as {schema_of(cls).identity}"]


def _refuse_version(cls: Any, version: int, to: int | None) -> None:
    if to is not None and not version <= to <= cls.schema_version:
        raise OptionError(
            f"--to {to}: this state is of {cls.schema_name}/{version}, and versions from there to "
            f"{cls.schema_version} are possible."
        )
