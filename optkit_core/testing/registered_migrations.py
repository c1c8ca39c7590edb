"""Migrations: state of every past version of a schema still loads."""

from __future__ import annotations

import copy
from typing import Any

from optkit_core.checkpoint.conversion_registry import migrations
from optkit_core.checkpoint.schema import TAG, schema_of
from optkit_core.errors import CheckpointError
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject


def past_versions(subject: Subject) -> None:
    """Load state of every past version, as far as the declarations tell what it consisted of.

    Raises:
        NotApplicableError: there is no past version, or a migration looks for entries that no
            declaration names any more.
    """
    schema = schema_of(subject.algorithm)
    if schema.version == 1:
        raise NotApplicableError(f"{schema.identity} is its first version")
    for version in range(1, schema.version):
        assert (schema.name, version) in migrations, (
            f"no migration from {schema.name}/{version} is registered, so that older state can't "
            "be loaded"
        )
    for version in range(1, schema.version):
        with prefix_failures(f"state of {schema.name}/{version}"):
            _assert_loads(subject, version)


def _assert_loads(subject: Subject, version: int) -> None:
    """Assert that state of a version loads, whole, and that steps can follow."""
    name = subject.implementations[0]
    source = subject.optimizer(small_parameters(subject), name)
    take_steps(subject, source, range(2))
    saved = _of_version(subject, copy.deepcopy(source.state_dict()), version)
    target = subject.optimizer(small_parameters(subject), name)
    try:
        report = target.load_state_dict(saved)
    except CheckpointError as error:
        if isinstance(error.__cause__, KeyError):
            raise NotApplicableError(
                f"the migration from version {version} looks for {error.__cause__}, of which the "
                "declarations don't tell; test it with a state that was saved then"
            ) from error
        raise
    assert len(report.migrated) == schema_of(subject.algorithm).version - version, (
        f"was migrated by {list(report.migrated)}"
    )
    found, expected = Snapshot.of(target).states, Snapshot.of(source).states
    for own, other in zip(found, expected, strict=True):
        assert own.keys() == other.keys(), f"becomes {sorted(own)}, not {sorted(other)}"
    take_steps(subject, target, range(2, 3))


def _of_version(subject: Subject, saved: dict[str, Any], version: int) -> dict[str, Any]:
    """Return a saved state without the buffers that came after a version, marked as of it."""
    schema = schema_of(subject.algorithm)
    later = {name for name, buffer in schema.buffers.items() if buffer.since > version}
    for state in saved["state"].values():
        for name in later & state.keys():
            del state[name]
    for group in saved["param_groups"]:
        group[TAG] = f"{schema.name}/{version}"
    return saved
