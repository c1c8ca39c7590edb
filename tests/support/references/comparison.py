"""An optimizer's trajectory beside that of a reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from references import REFERENCES
from references.data import gradient, parameters, values
from references.trajectory import Array, State, steps

TOLERANCE = 1e-11
TOLERANCES = {"muon": 0.1}
"""Muon's iteration runs in bfloat16, whose unit is 0.8 %, and makes a direction of size one."""


class Trajectory:
    """Where a reference goes from the shared start, after each step."""

    def __init__(self, name: str, options: dict[str, Any], **kinds: Any) -> None:
        self.name, self.options = name, options
        self.tolerance = TOLERANCES.get(name, TOLERANCE)
        self.start, self.gradients = values(name, **kinds)
        self.places: list[list[Array]] = []
        self.states: list[State] = []
        for place, states in steps(REFERENCES[name], self.start, self.gradients, **options):
            self.places.append(list(place))
            self.states = states

    def compare(self, create: Callable[[list[Any]], torch.optim.Optimizer]) -> Any:
        """Assert that an optimizer goes the same way, and return it."""
        params = parameters(self.start)
        optimizer = create(params)
        for place, grads in zip(self.places, self.gradients, strict=True):
            for p, g in zip(params, grads, strict=True):
                p.grad = gradient(g)
            optimizer.step()
            self.assert_close(params, place)
            self.look_at(params, grads)
        return optimizer

    def look_at(self, params: Sequence[torch.Tensor], grads: Sequence[Array | None]) -> None:
        """Assert that a step has left its gradients alone."""
        for p, g in zip(params, grads, strict=True):
            if p.grad is not None and not p.grad.is_sparse:
                np.testing.assert_array_equal(p.grad.numpy(), g)

    def compare_states(self, optimizer: torch.optim.Optimizer) -> None:
        """Assert that all entries of the state are the reference's."""
        params = [p for group in optimizer.param_groups for p in group["params"]]
        for p, wanted in zip(params, self.states, strict=True):
            for key, found in optimizer.state[p].items():
                assert key in wanted, f"the reference has no {key}"
                self.assert_close([torch.as_tensor(found)], [wanted[key]])

    def compare_modes(self, optimizer: Any) -> None:
        """Assert that parameters are the reference's average in evaluation, and back again."""
        params = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.eval()
        self.assert_close(params, [state["x"] for state in self.states])
        optimizer.train()
        self.assert_close(params, self.places[-1])

    def assert_close(self, found: Sequence[torch.Tensor], wanted: Sequence[Any]) -> None:
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(
                one.detach().numpy(), other, rtol=self.tolerance, atol=0.1 * self.tolerance
            )
