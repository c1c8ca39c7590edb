"""Loading: everything is verified first, and only then is anything copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch

from optkit_core.checkpoint.load import (
    filling,
    group_options,
    joint_state,
    matching,
    origin,
    outer_shape,
    verification,
)
from optkit_core.checkpoint.load import saved_state as reading
from optkit_core.checkpoint.load.load_report import Findings, LoadReport
from optkit_core.checkpoint.load.renaming import Rename, renamed
from optkit_core.checkpoint.load.value_copies import copied
from optkit_core.checkpoint.load.verification import Verified
from optkit_core.checkpoint.schema import schema_of
from optkit_core.errors import CheckpointError
from optkit_core.plugins import hooks
from optkit_core.step import collector
from optkit_core.torch_hooks import hooks_of


@attrs.frozen(eq=False)
class Intention:
    """A verified state, ready to be put in place: nothing can go wrong any more.

    Args:
        states: the states of the parameters that have some.
        groups: for each group the values to put in place.
    """

    states: Verified
    groups: Sequence[dict[str, Any]]


def load(
    optimizer: Any, state_dict: Any, strict: bool = True, rename: Rename | None = None
) -> LoadReport:
    """Continue from a saved state, with all hooks around it; see `Optimizer.load_state_dict`."""
    given = _through_hooks(optimizer, state_dict)
    given, entries = outer_shape.parted(given, optimizer.state_buffers.keys())
    entries, found = copied(entries), Findings()
    understood, migrated = origin.understood(type(optimizer), given)
    saved = reading.read(understood)
    if rename is not None:
        saved = renamed(saved, rename, optimizer.param_groups, found)
    with torch.no_grad(), collector.uncollected():
        intention = _verified(optimizer, saved, found)
        found.raise_for(type(optimizer).__name__, strict)
        is_owned = isinstance(state_dict, reading.Owned)
        filling.fill(optimizer, intention.states, intention.groups, strict, is_owned)
        optimizer.state.update(entries)
    for hook in hooks_of(optimizer, "load_state_dict_post_hook"):
        hook(optimizer)
    hooks.fire("optkit_state_loaded", optimizer=optimizer)
    return LoadReport(
        tuple(intention.states.labels),
        tuple(found.missing),
        tuple(found.unexpected),
        tuple(found.shape_mismatched),
        tuple(migrated),
        tuple(found.renamed),
    )


def _through_hooks(optimizer: Any, state_dict: Any) -> Any:
    """Let the pre-hooks change a shallow copy, or give something else in its place."""
    if not isinstance(state_dict, dict):
        raise CheckpointError(f"saved state must be a dict, got {type(state_dict).__name__}.")
    given = dict(state_dict)
    for hook in hooks_of(optimizer, "load_state_dict_pre_hook"):
        replaced = hook(optimizer, given)
        given = given if replaced is None else replaced
    return given


def _verified(optimizer: Any, saved: reading.Saved, found: Findings) -> Intention:
    algorithm = type(optimizer)
    schema = schema_of(algorithm)
    matched = matching.match(saved, optimizer.param_groups, found)
    groups = group_options.verify(optimizer, schema, saved.groups, matched, found)
    if algorithm.is_joint:
        saved, matched = joint_state.gathered(schema, saved, matched, found)
    states = verification.verify(algorithm, saved, matched, found)
    return Intention(states, groups)
