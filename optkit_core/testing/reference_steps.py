"""References: every step leads where an independent implementation leads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.testing.comparisons import assert_close
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.stepping import take_step
from optkit_core.testing.subject import Subject, params_of

STEPS = 10
TOLERANCE = 1e-10
"""In float64, where other orders of the same operations differ by some 1e-15 in each step."""

NO_VALUES = frozenset({"params", "param_names", "implementation", "foreach", "fused"})
"""Entries of a group that say nothing about what a step computes."""


def equals_reference(subject: Subject) -> None:
    """Compare each step with the reference's, in float64 and by the first implementation.

    Raises:
        NotApplicableError: there is no reference, or it can't be asked.
    """
    if subject.reference is None:
        raise NotApplicableError("no reference= is given")
    if subject.requires_closure:
        raise NotApplicableError("its steps follow a loss, not gradients that are drawn")
    params = small_parameters(subject, torch.float64)
    optimizer = subject.optimizer(params, subject.implementations[0])
    group = {k: v for k, v in optimizer.param_groups[0].items() if k not in NO_VALUES}
    reference = subject.reference
    steps = _steps_of_class if isinstance(reference, type) else _steps_of_function
    take_reference_step = steps(reference, [p.detach().clone() for p in params], group)
    tolerance = max(TOLERANCE, subject.own_tolerances.get(torch.float64, 0.0))
    for number in range(STEPS):
        expected = take_reference_step(take_step(subject, optimizer, number).given)
        for position, (p, q) in enumerate(zip(params_of(optimizer), expected, strict=True)):
            shape = list(p.shape)
            with prefix_failures(f"step {number + 1} differs at parameter {position} of {shape}"):
                assert_close(p, q, tolerance)


Steps = Callable[[list[Tensor | None]], list[Tensor]]
"""What takes a reference's step along gradients, and returns its parameters."""


def _steps_of_class(cls: Any, params: list[Tensor], group: Mapping[str, Any]) -> Steps:
    """Return the steps of an optimizer class, given those of the values that it takes."""
    taken = inspect.signature(cls).parameters
    optimizer = cls(params, **{name: value for name, value in group.items() if name in taken})

    def step(gradients: list[Tensor | None]) -> list[Tensor]:
        for p, g in zip(params, gradients, strict=True):
            p.grad = g
        optimizer.step()
        return params

    return step


def _steps_of_function(
    update: Callable[..., Any], params: list[Tensor], group: Mapping[str, Any]
) -> Steps:
    """Return the steps of a function of NumPy's arrays."""
    rows = [Row(p.numpy()) for p in params]

    def step(gradients: list[Tensor | None]) -> list[Tensor]:
        for row, g in zip(rows, gradients, strict=True):
            if g is not None:
                row.count += 1
                h = SimpleNamespace(**group)
                row.p = update(row.p.copy(), _array(g), row.state, row.count, h)
        return [torch.as_tensor(row.p) for row in rows]

    return step


@attrs.define(eq=False)
class Row:
    """A parameter as an array, and what the reference keeps for it."""

    p: Any
    state: dict[str, Any] = attrs.Factory(dict)
    count: int = 0


def _array(g: Tensor) -> Any:
    return (g.to_dense() if g.is_sparse else g).numpy()
