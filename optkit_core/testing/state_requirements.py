"""The table of what states, copies and checkpoints must hold."""

from __future__ import annotations

from optkit_core.testing import (
    interchange,
    refused_loads,
    registered_migrations,
    resuming,
    state_schema,
)
from optkit_core.testing.requirement import Requirement

STATE: tuple[Requirement, ...] = (
    Requirement(
        "schema",
        "states consist of what is declared",
        state_schema.schema,
        topic="state",
        every_dtype=True,
    ),
    Requirement(
        "deepcopy",
        "deep copies continue",
        resuming.deep_copies,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "pickle",
        "pickles continue",
        resuming.pickles,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "state_dict",
        "state dicts continue",
        resuming.state_dicts,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "file",
        "files continue",
        resuming.files,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "interchange",
        "an implementation goes on with what another has begun",
        interchange.interchange,
        topic="state",
        every_dtype=True,
    ),
    Requirement(
        "refused_loads",
        "a state that doesn't fit is refused before anything changes",
        refused_loads.refused_loads,
        topic="state",
    ),
    Requirement(
        "migrations",
        "state of past versions loads",
        registered_migrations.past_versions,
        topic="state",
    ),
)
"""In the order of a check."""
