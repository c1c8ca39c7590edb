"""Snapshots of parameters and their states, and whether two of them agree."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.checkpoint.load.deep_copy import deep_copy
from optkit_core.testing.comparisons import assert_close, assert_same_state
from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.subject import Subject, params_of


@attrs.frozen(eq=False)
class Snapshot:
    """Copies of parameters, and of what belongs to each of them."""

    params: list[Tensor]
    states: list[dict[str, Any]]
    estimates: list[dict[str, float]]

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer) -> Snapshot:
        """Return what an optimizer has now."""
        params = params_of(optimizer)
        # L-BFGS keeps its vectors elsewhere, and writes them into the state when asked.
        getattr(optimizer, "publish_state", lambda: None)()
        states = [optimizer.state.get(p, {}) for p in params]
        names = getattr(optimizer, "estimate_names", ())
        estimates = [{name: group[name] for name in names} for group in optimizer.param_groups]
        return cls(deep_copy(params), deep_copy(states), estimates)

    def assert_agrees(self, other: Snapshot, subject: Subject, is_exact: bool = False) -> None:
        """Assert that another snapshot is the same, within tolerances or exactly.

        What is remembered of a search follows its rounding, and is compared exactly or not at all.

        Args:
            other: the reference.
            subject: what is checked.
            is_exact: whether every value must be equal, NaN to NaN.

        Raises:
            AssertionError: it isn't; names the parameter.
        """
        tolerance = 0.0 if is_exact else subject.tolerance
        for group, wanted in zip(self.estimates, other.estimates, strict=True):
            for name, found in group.items():
                with prefix_failures(f"the estimate {name!r}"):
                    assert_close(_tensor(found), _tensor(wanted[name]), tolerance)
        rows = zip(self.params, other.params, self.states, other.states, strict=True)
        for position, (p, q, own, expected) in enumerate(rows):
            with prefix_failures(f"parameter {position} of shape {list(p.shape)}"):
                assert_close(p, q, tolerance)
                if is_exact or not subject.requires_closure:
                    assert_same_state(own, expected, tolerance)


def _tensor(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64)
