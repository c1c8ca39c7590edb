"""Verification: every saved state compared with the schema, before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import and_
from typing import Any

import attrs
from torch import Tensor

from optkit_core.checkpoint.load import buffer_values, forms
from optkit_core.checkpoint.load.load_report import Findings
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.load.saved_state import Saved
from optkit_core.checkpoint.schema import Schema, schema_of

State = Mapping[str, Any]


@attrs.frozen(eq=False)
class Verified:
    """Saved states that fit their parameters, one row for each.

    Args:
        parameters: whose states they become.
        labels: what the parameters are called.
        groups: the positions of their groups.
        states: the saved states, of which only declared entries are loaded.
        forms: the numbers of the parameters' forms.
    """

    parameters: Sequence[Tensor]
    labels: Sequence[str]
    groups: Sequence[int]
    states: Sequence[State]
    forms: Sequence[int]

    def only(self, chosen: Sequence[bool]) -> Verified:
        """Return the chosen rows."""
        if all(chosen):
            return self
        columns: Any = (self.parameters, self.labels, self.groups, self.states, self.forms)
        return Verified(*(list(compress(column, chosen)) for column in columns))


def verify(
    algorithm: Any, saved: Saved, matched: Sequence[MatchedGroup], found: Findings
) -> Verified:
    """Check the saved state of every matched parameter.

    Args:
        algorithm: the optimizer's class.
        saved: the saved state.
        matched: which parameter is which.
        found: takes in what doesn't fit.

    Returns:
        The states that fit.
    """
    schema = schema_of(algorithm)
    rows = _with_state(saved, matched)
    fitting = rows.only(
        [
            is_whole or _fits(schema, state, parameter, label, found)
            for is_whole, state, parameter, label in zip(
                _are_whole(schema, rows), rows.states, rows.parameters, rows.labels, strict=True
            )
        ]
    )
    for state, label in zip(fitting.states, fitting.labels, strict=True):
        complaint = algorithm.state_complaint(state)
        found.refused += [f"the state of {label}: {complaint}"] if complaint else []
    known = set().union(*(group.ids for group in saved.groups))
    found.unexpected += [f"state of {key!r:.60}" for key in saved.state if key not in known]
    return fitting


def _with_state(saved: Saved, matched: Sequence[MatchedGroup]) -> Verified:
    """Return a row for each parameter that has a saved state."""
    parameters: list[Tensor] = []
    labels: list[str] = []
    groups: list[int] = []
    states: list[State] = []
    for position, group in enumerate(matched):
        own = [None if key is None else saved.state.get(key) for key in group.ids]
        parameters += compress(group.params, own)
        labels += compress(group.labels, own)
        states += filter(None, own)
        groups += [position] * (len(states) - len(groups))
    return Verified(parameters, labels, groups, states, forms.of_parameters(parameters, groups))


def _are_whole(schema: Schema, rows: Verified) -> Iterable[bool]:
    """Return which states have all the entries that are declared, and no other, and these fit."""
    keys = schema.buffers.keys()
    whole: Iterable[bool] = [state.keys() == keys for state in rows.states]
    for name, buffer in schema.buffers.items():
        column = [state.get(name) for state in rows.states]
        whole = map(
            and_, whole, buffer_values.fit(name, buffer, column, rows.parameters, rows.forms)
        )
    return whole


def _fits(schema: Schema, state: State, parameter: Tensor, label: str, found: Findings) -> bool:
    """Say what is wrong with a state; one that merely lacks optional entries fits."""
    before = found.count
    for name in schema.required - state.keys():
        found.missing.append(f"the state of {label} has no {name}")
    for name in state.keys() - schema.buffers.keys():
        found.unexpected.append(f"the state of {label} has a key {name!r:.40}")
    for name, value in state.items():
        if name in schema.buffers:
            buffer_values.check(name, schema.buffers[name], value, parameter, label, found)
    return found.count == before
