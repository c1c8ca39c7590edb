"""Outcomes: where parameters and their states are after some steps, and whether two agree."""

from __future__ import annotations

from typing import Any

import attrs
from torch import Tensor

from optkit_core.testing.agreement import (
    TOLERANCES,
    assert_close,
    assert_same_state,
)
from optkit_core.testing.failures import named
from optkit_core.testing.subject import Subject, params_of


@attrs.frozen(eq=False)
class Outcome:
    """Copies of parameters, and of what belongs to each of them."""

    params: list[Tensor]
    states: list[dict[str, Any]]

    @classmethod
    def of(cls, optimizer: Any) -> Outcome:
        """Return what an optimizer has now."""
        params = params_of(optimizer)
        optimizer.publish_state()
        states = [optimizer.state.get(p, {}) for p in params]
        return cls([_copied(p) for p in params], [_copied(state) for state in states])

    def assert_agrees(self, other: Outcome, subject: Subject, is_exact: bool = False) -> None:
        """Assert that another outcome is the same, within tolerances or exactly.

        What is remembered of a search follows its rounding, and is compared exactly or not at all.

        Raises:
            AssertionError: it isn't; names the parameter.
        """
        tolerance = 0.0 if is_exact else TOLERANCES[subject.dtype]
        rows = zip(self.params, other.params, self.states, other.states, strict=True)
        for position, (p, q, mine, state) in enumerate(rows):
            with named(f"parameter {position} of shape {list(p.shape)}"):
                assert_close(p, q, tolerance)
                if is_exact or not subject.algorithm.requires_closure:
                    assert_same_state(mine, state, p, is_exact)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
