"""Loading: everything is verified first, and only then is anything copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch

from optkit_core.checkpoint.load import (
    convert_and_copy,
    group_options,
    identify_algorithm,
    joint_order,
    matching,
    parsing,
    structure,
    verification,
)
from optkit_core.checkpoint.load.deep_copy import deep_copy
from optkit_core.checkpoint.load.load_report import LoadReport, Mismatches
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.load.renaming import Rename, renamed
from optkit_core.checkpoint.load.verification import VerifiedStates
from optkit_core.checkpoint.schema import schema_of
from optkit_core.errors import CheckpointError
from optkit_core.plugins import hook_calls
from optkit_core.step import garbage_collector
from optkit_core.torch_hooks import hooks_of


@attrs.frozen(eq=False)
class VerifiedCheckpoint:
    """What a checkpoint brings, ready to be copied in: nothing can go wrong any more.

    Args:
        states: for each algorithm the states of the parameters that have some.
        groups: for each group the values to put into it.
    """

    states: Sequence[VerifiedStates]
    groups: Sequence[dict[str, Any]]


def load(
    optimizer: Any, state_dict: Any, strict: bool = True, rename: Rename | None = None
) -> LoadReport:
    """Continue from a saved state, with all hooks around it; see `Optimizer.load_state_dict`.

    Args:
        optimizer: an optkit optimizer.
        state_dict: what was saved.
        strict: whether everything must match; False loads what does.
        rename: what saved parameters are called in this optimizer; None (default): the same.
    """
    given = _through_hooks(optimizer, state_dict)
    algorithms = list(dict.fromkeys(map(optimizer.algorithm_of, optimizer.param_groups)))
    buffers = {name for algorithm in algorithms for name in algorithm.state_buffers}
    given, user_entries = structure.split_user_entries(given, buffers)
    # Copied first: it may fail, and after the checks nothing may.
    user_entries, mismatches = deep_copy(user_entries), Mismatches()
    present, migrated = identify_algorithm.in_present_schemas(algorithms, given)
    saved = parsing.parse(present)
    if rename is not None:
        saved = renamed(saved, rename, optimizer.param_groups, mismatches)
    with torch.no_grad(), garbage_collector.uncollected():
        verified = _verified(optimizer, saved, mismatches)
        mismatches.raise_for(type(optimizer).__name__, strict)
        # Nobody else holds the tensors of a file, so they become the optimizer's without a copy.
        is_owned = isinstance(state_dict, parsing.Owned)
        convert_and_copy.fill(optimizer, verified.states, verified.groups, strict, is_owned)
        optimizer.state.update(user_entries)
    for hook in hooks_of(optimizer, "load_state_dict_post_hook"):
        hook(optimizer)
    hook_calls.fire("optkit_state_loaded", optimizer=optimizer)
    return LoadReport(
        tuple(label for rows in verified.states for label in rows.labels),
        tuple(mismatches.missing),
        tuple(mismatches.unexpected),
        tuple(mismatches.shape_mismatched),
        tuple(migrated),
        tuple(mismatches.renamed),
    )


def _through_hooks(optimizer: Any, state_dict: Any) -> Any:
    """Let the pre-hooks change a shallow copy, or give something else in its place."""
    if not isinstance(state_dict, dict):
        raise CheckpointError(f"saved state must be a dict, got {type(state_dict).__name__}.")
    # torch hands its hooks a shallow copy too, so that they may put other entries into it.
    given = dict(state_dict)
    for hook in hooks_of(optimizer, "load_state_dict_pre_hook"):
        replaced = hook(optimizer, given)
        given = given if replaced is None else replaced
    return given


def _verified(
    optimizer: Any, saved: parsing.ParsedState, mismatches: Mismatches
) -> VerifiedCheckpoint:
    matched = matching.match(saved, optimizer.param_groups, mismatches)
    algorithms = list(map(optimizer.algorithm_of, optimizer.param_groups))
    identify_algorithm.require_same(algorithms, saved, matched)
    groups = group_options.verify(optimizer, saved.groups, matched, mismatches)
    if optimizer.is_joint:
        schema = schema_of(type(optimizer))
        saved, matched = joint_order.reorder(schema, saved, matched, mismatches)
    lives = optimizer.param_groups
    options = [{**live, **new} for live, new in zip(lives, groups, strict=True)]
    states = [
        verification.verify(one, saved, _of(one, algorithms, matched), options, mismatches)
        for one in dict.fromkeys(algorithms)
    ]
    known = set().union(*(group.ids for group in saved.groups))
    mismatches.unexpected += [f"state of {key!r:.60}" for key in saved.state if key not in known]
    return VerifiedCheckpoint(states, groups)


def _of(
    algorithm: type[Any], algorithms: Sequence[type[Any]], matched: Sequence[MatchedGroup]
) -> list[MatchedGroup]:
    """Return the matched groups, those of other algorithms without a state."""
    return [
        group if owner is algorithm else attrs.evolve(group, ids=[None] * len(group.ids))
        for owner, group in zip(algorithms, matched, strict=True)
    ]
