"""Verification: every saved state compared with the schema, before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import and_
from typing import Any

import attrs
from torch import Tensor

from optkit_core.checkpoint.load import deduplicated_checks
from optkit_core.checkpoint.load.load_report import Mismatches
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.load.parsing import ParsedState
from optkit_core.checkpoint.schema import Schema, schema_of
from optkit_core.declaration.buffers import Buffer

State = Mapping[str, Any]


@attrs.frozen(eq=False)
class VerifiedStates:
    """Saved states of one algorithm that fit their parameters, one row for each.

    Args:
        algorithm: the class whose they are.
        parameters: whose states they become.
        labels: what the parameters are called.
        groups: the positions of their groups.
        states: the saved states, of which only declared entries are loaded.
        keys: the parameters' keys for deduplicated checks.
    """

    algorithm: Any
    parameters: Sequence[Tensor]
    labels: Sequence[str]
    groups: Sequence[int]
    states: Sequence[State]
    keys: Sequence[int]

    def only(self, chosen: Sequence[bool]) -> VerifiedStates:
        """Return the chosen rows."""
        if all(chosen):
            return self
        columns: Any = (self.parameters, self.labels, self.groups, self.states, self.keys)
        return VerifiedStates(
            self.algorithm, *(list(compress(column, chosen)) for column in columns)
        )


def verify(
    algorithm: Any,
    saved: ParsedState,
    matched: Sequence[MatchedGroup],
    options: Sequence[Mapping[str, Any]],
    mismatches: Mismatches,
) -> VerifiedStates:
    """Check the saved state of every matched parameter.

    Args:
        algorithm: the class whose states they are.
        saved: the saved state.
        matched: which parameter is which; no parameter of another algorithm has an id.
        options: the values of each group once they are loaded.
        mismatches: takes in what doesn't fit.

    Returns:
        The states that fit.
    """
    schema = schema_of(algorithm)
    rows = _with_state(algorithm, saved, matched, schema.set_by_body)
    required = _required(schema, rows, options)
    # Whole columns are checked first; only a state that may be wrong is looked at by itself, for
    # words.
    are_whole = _are_whole(schema, rows, required)
    fitting = rows.only(
        [
            is_whole or _fits(schema, names, state, parameter, label, mismatches)
            for is_whole, names, state, parameter, label in zip(
                are_whole, required, rows.states, rows.parameters, rows.labels, strict=True
            )
        ]
    )
    for state, label in zip(fitting.states, fitting.labels, strict=True):
        complaint = algorithm.state_complaint(state)
        mismatches.refused += [f"the state of {label}: {complaint}"] if complaint else []
    return fitting


def _with_state(
    algorithm: Any,
    saved: ParsedState,
    matched: Sequence[MatchedGroup],
    set_by_body: frozenset[str],
) -> VerifiedStates:
    """Return a row for each parameter that has a saved state."""
    parameters: list[Tensor] = []
    labels: list[str] = []
    groups: list[int] = []
    states: list[State] = []
    for position, group in enumerate(matched):
        own = [None if key is None else saved.state.get(key) for key in group.ids]
        if set_by_body:
            own = [state and _without_unset(state, set_by_body) for state in own]
        parameters += compress(group.params, own)
        labels += compress(group.labels, own)
        # A parameter that never had a gradient has an empty state or none.
        states += filter(None, own)
        groups += [position] * (len(states) - len(groups))
    keys = deduplicated_checks.parameter_keys(parameters, groups)
    return VerifiedStates(algorithm, parameters, labels, groups, states, keys)


def _without_unset(state: State, set_by_body: frozenset[str]) -> State:
    """Return a state without the buffers that no step has set, which torch may save as None."""
    if not any(state.get(name, 0) is None for name in set_by_body):
        return state
    return {k: v for k, v in state.items() if v is not None or k not in set_by_body}


def _required(
    schema: Schema, rows: VerifiedStates, options: Sequence[Mapping[str, Any]]
) -> list[frozenset[str]]:
    """Return the names of the entries that each state has to have."""
    names_of = {position: schema.names_for(options[position]) for position in set(rows.groups)}
    sets: dict[tuple[str, ...], frozenset[str]] = {}
    names = (names_of[group](p) for p, group in zip(rows.parameters, rows.groups, strict=True))
    return [sets.setdefault(own, frozenset(own)) for own in names]


def _are_whole(
    schema: Schema, rows: VerifiedStates, required: Sequence[frozenset[str]]
) -> Iterable[bool]:
    """Return which states have all the entries that they need, and no other, and these fit."""
    pairs = zip(rows.states, required, strict=True)
    whole: Iterable[bool] = [state.keys() == names for state, names in pairs]
    for name, buffer in schema.buffers.items():
        is_saved = [name in state for state in rows.states]
        part = rows.only(is_saved)
        fitting = iter(_values_fit(buffer, [state[name] for state in part.states], part))
        whole = map(and_, whole, [next(fitting) if saved else True for saved in is_saved])
    return whole


def _values_fit(buffer: Buffer, column: Sequence[Any], rows: VerifiedStates) -> list[bool]:
    """Return which of the values saved for a buffer fit their parameters."""

    def fits(value: Any, parameter: Tensor) -> bool:
        return next(buffer.rules.mismatches(value, parameter), None) is None

    return deduplicated_checks.checked(
        fits, buffer.rules.check_keys, rows.keys, column, rows.parameters
    )


def _fits(
    schema: Schema,
    required: frozenset[str],
    state: State,
    parameter: Tensor,
    label: str,
    mismatches: Mismatches,
) -> bool:
    """Say what is wrong with a state; one that merely lacks optional entries fits."""
    before = mismatches.count
    for name in sorted(required - state.keys()):
        mismatches.missing.append(f"the state of {label} has no {name}")
    for name in state.keys() - schema.buffers.keys():
        mismatches.unexpected.append(f"the state of {label} has a key {name!r:.40}")
    for name in filter(schema.buffers.__contains__, state):
        for mismatch in schema.buffers[name].rules.mismatches(state[name], parameter):
            line = f"{name} of {label} {mismatch.reason}"
            (mismatches.shape_mismatched if mismatch.is_shape else mismatches.refused).append(line)
    return mismatches.count == before
