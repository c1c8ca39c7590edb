"""Recorded bodies: an update body run once, for all steps in which it does the same.

To run a body takes Python some 30 µs for each group and step, far more than compiled code takes
for the few operations that are left of it. A recording is valid as long as the body would do the
same: every comparison of its numbers comes out as it did, hyperparameters that aren't numbers are
what they were, and every number is finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.selection.offer import UpdateBody
from optkit_core.tracing.flat_hyperparameters import FlatHyperparameters, Slot, unflatten
from optkit_core.tracing.program import Program
from optkit_core.tracing.scalar_program import ScalarProgram, ScalarRecorder
from optkit_core.tracing.trace import trace


class RecordedBody(NamedTuple):
    """What an update body does with an element, and with the numbers of a group.

    Args:
        program: the kernel's.
        scalars: how its numbers come from a group's hyperparameters, the count of steps and,
            where gradients are scaled, the inverse of their scale.
        slots: what the hyperparameters are.
    """

    program: Program
    scalars: ScalarProgram
    slots: tuple[Slot, ...]


def record_body(
    algorithm: type[UpdateBody],
    h: Any,
    flat: FlatHyperparameters,
    t: float,
    maximize: bool = False,
    inverse_scale: float | None = None,
    buffers: tuple[str, ...] | None = None,
    is_new: bool = False,
    dtype: torch.dtype | None = None,
) -> RecordedBody | None:
    """Record an update body.

    Args:
        algorithm: the class, with its ``update`` and ``buffers``.
        h: the hyperparameters of one group as attributes.
        flat: the same as a row of numbers.
        t: the number of the step.
        maximize: whether the gradient's sign is turned.
        inverse_scale: what the gradient is multiplied by first, if it is scaled.
        buffers: the names of the buffers that there are; None: those that `h` asks for.
        is_new: whether buffers come into being that the body sets.
        dtype: of the parameters.

    Returns:
        The body; None where it asks for numbers that can't be followed.
    """
    recorder = ScalarRecorder(scalar_inputs(flat.numbers, t, inverse_scale))
    *scalars, count = recorder.inputs[: len(flat.numbers) + 1]
    scale = None if inverse_scale is None else recorder.inputs[-1]
    try:
        names = unflatten(flat.slots, scalars)
        program, numbers = trace(algorithm, names, count, maximize, scale, buffers, is_new, dtype)
        body = RecordedBody(program, recorder.program(numbers), flat.slots)
        # A body may tell scalars from floats, by isinstance() for example: it has to do the same
        # with plain numbers.
        own = _without_tensors(h)
        plain = trace(algorithm, own, t, maximize, inverse_scale, buffers, is_new, dtype)
    # No reason is lost: the body is then run in each step, and would show the same error there.
    except (ArithmeticError, AttributeError, TypeError, ValueError, RuntimeError):
        return None
    values = [scalar.value for scalar in recorder.inputs]
    is_same = plain == (program, body.scalars.numbers(values))
    return body if recorder.is_complete and is_same else None


def matching_body(
    bodies: Iterable[RecordedBody],
    flat: FlatHyperparameters,
    t: float,
    inverse_scale: float | None,
) -> RecordedBody | None:
    """Return the recorded body that a group goes through in a step, None where none is.

    Args:
        bodies: those to choose from, of one algorithm.
        flat: the group's hyperparameters.
        t: the number of the step.
        inverse_scale: what the gradient is multiplied by first, if it is scaled.
    """
    inputs = scalar_inputs(flat.numbers, t, inverse_scale)
    for body in bodies:
        if body.slots == flat.slots and body.scalars.numbers(inputs) is not None:
            return body
    return None


def scalar_inputs(numbers: Sequence[float], t: float, inverse_scale: float | None) -> list[float]:
    """Return the inputs of a body's scalar program in their order.

    Args:
        numbers: those of a group's hyperparameters.
        t: the number of the step.
        inverse_scale: what the gradient is multiplied by first, None where it isn't scaled.
    """
    # `evaluate` in numbers.cpp and `RowNumbers.compute` count on this order.
    scale = [] if inverse_scale is None else [inverse_scale]
    return [*numbers, t, *scale]


def _without_tensors(h: Any) -> SimpleNamespace:
    values = vars(h).items()
    return SimpleNamespace(**{k: float(v) if isinstance(v, Tensor) else v for k, v in values})
