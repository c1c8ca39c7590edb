"""What ``migrate`` does: a checkpoint is brought to a version of its schema and rewritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

import optkit
from optkit.cli.checkpoint_input import CheckpointInput
from optkit.cli.user_errors import OptionError
from optkit_core.checkpoint import migrations
from optkit_core.checkpoint.file import checkpoint_file
from optkit_core.checkpoint.file.checkpoint_file import Checkpoint
from optkit_core.checkpoint.load import identify_algorithm, parsing, structure
from optkit_core.checkpoint.schema import TAG, schema_of
from optkit_core.optimizer import Optimizer


@attrs.frozen(eq=False)
class Migration:
    """What is to be written where, and what was done to it."""

    checkpoint: Checkpoint
    output: Path
    steps: tuple[str, ...]


def prepare(
    source: CheckpointInput, algorithm: str | None, to: int | None, output: Path | None
) -> Migration:
    """Bring a checkpoint to a version of its schema, in memory.

    Args:
        source: the file.
        algorithm: the name of the algorithm that saved it; None: as the file says.
        to: the version to bring it to; None: the present one.
        output: where to write it; None: in place of the file.

    Raises:
        OptionError: it isn't certain what the file is, or where the result goes.
        CheckpointError: the state isn't that algorithm's, or can't be brought to the version.
    """
    # In place, it would turn into a file that torch.load can't read.
    if output is None and source.is_torchs:
        raise OptionError(
            f"{source.path} is a file of torch.save, and the result is of another kind; name "
            "another file with --output."
        )
    if output is None and source.is_setups:
        raise OptionError(
            f"{source.path} is of a training setup, and the result of its optimizer alone; name "
            "another file with --output."
        )
    cls = _class(source, algorithm)
    given, user_entries = structure.split_user_entries(source.checkpoint.state_dict)
    converted, steps = _in_version(parsing.copy_containers(given), cls, to)
    state_dict = {**converted, "state": {**converted["state"], **user_entries}}
    checkpoint = Checkpoint(cls.__name__, state_dict)
    return Migration(checkpoint, output or source.path, tuple(steps))


def write(migration: Migration) -> None:
    """Write the file."""
    checkpoint_file.write(migration.checkpoint, migration.output)


def _class(source: CheckpointInput, algorithm: str | None) -> type[Optimizer]:
    """Return the class whose state a file holds."""
    identity = parsing.schema_identity(source.checkpoint.state_dict)
    name = algorithm or (identity[0] if identity else source.checkpoint.algorithm)
    if not name:
        raise OptionError(
            f"{source.path} doesn't say which algorithm saved it; name it with --algorithm."
        )
    cls = optkit.get(name)
    if not issubclass(cls, Optimizer):
        raise OptionError(f"{name} isn't an optkit algorithm, and its state has no versions.")
    return cls


def _in_version(
    state_dict: dict[str, Any], cls: type[Optimizer], to: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Return a state of a class in a version of its schema, and what was done to it."""
    identity = parsing.schema_identity(state_dict)
    if identity is not None and identity[0] == cls.schema_name:
        _require_version(cls, identity[1], to)
        return migrations.migrated(state_dict, cls, *identity, to)
    if to not in (None, cls.schema_version):
        raise OptionError(f"--to {to}: what isn't of optkit goes to {cls.schema_version} only.")
    present, steps = identify_algorithm.in_present_schema(cls, state_dict)
    # Unmarked, it would have to be recognized by its content again at every load.
    for group in present["param_groups"]:
        group[TAG] = schema_of(cls).identity
    return present, [*steps, f"marked as {schema_of(cls).identity}"]


def _require_version(cls: type[Optimizer], version: int, to: int | None) -> None:
    if to is not None and not version <= to <= cls.schema_version:
        raise OptionError(
            f"--to {to}: this state is of {cls.schema_name}/{version}, and versions from there to "
            f"{cls.schema_version} are possible."
        )
