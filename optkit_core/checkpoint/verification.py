"""Verification: every saved state compared with the schema, before anything changes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from optkit_core.checkpoint import values
from optkit_core.checkpoint.matching import MatchedGroup
from optkit_core.checkpoint.report import Findings
from optkit_core.checkpoint.saved import Saved
from optkit_core.checkpoint.schema import Schema, schema_of

State = Mapping[str, Any]


@attrs.define(eq=False)
class Verified:
    """A saved state that fits its parameter.

    Args:
        parameter: whose state it becomes.
        label: what the parameter is called.
        group: the position of its group.
        state: the saved state, of which only declared entries are left.
    """

    parameter: Tensor
    label: str
    group: int
    state: State


def verify(
    algorithm: Any, saved: Saved, matched: Sequence[MatchedGroup], found: Findings
) -> list[Verified]:
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
    fitting = []
    used: set[Hashable] = set()
    for position, group in enumerate(matched):
        for parameter, label, key in zip(group.params, group.labels, group.ids, strict=True):
            state = None if key is None else saved.state.get(key)
            used.add(key)
            if state and _fits(schema, state, parameter, label, found):
                complaint = algorithm.state_complaint(state)
                found.refused += [f"the state of {label}: {complaint}"] if complaint else []
                fitting.append(Verified(parameter, label, position, state))
    known = used.union(*(group.ids for group in saved.groups))
    found.unexpected += [f"state of {key!r:.60}" for key in saved.state if key not in known]
    return fitting


def _fits(schema: Schema, state: State, parameter: Tensor, label: str, found: Findings) -> bool:
    if state.keys() == schema.buffers.keys() and all(
        values.fits(name, buffer, state[name], parameter) for name, buffer in schema.buffers.items()
    ):
        return True
    before = found.count
    if state.keys() != schema.buffers.keys():
        for name in schema.required - state.keys():
            found.missing.append(f"the state of {label} has no {name}")
        for name in state.keys() - schema.buffers.keys():
            found.unexpected.append(f"the state of {label} has a key {name!r:.40}")
    for name, value in state.items():
        if name in schema.buffers:
            values.check(name, schema.buffers[name], value, parameter, label, found)
    return found.count == before
