"""Bodies: an update body recorded once, with how its numbers come from settings and counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from torch import Tensor

from optkit_core.tracing.recording import Program
from optkit_core.tracing.scalars import Recorder, ScalarProgram
from optkit_core.tracing.settings import Settings, Slot, namespace
from optkit_core.tracing.trace import trace


class Body(NamedTuple):
    """What an update body does with an element, and with the numbers of a group.

    Args:
        program: the kernel's.
        scalars: how its numbers come from a group's settings, the count of steps and, where
            gradients are scaled, the inverse of their scale.
        slots: what the settings are.
    """

    program: Program
    scalars: ScalarProgram
    slots: tuple[Slot, ...]


def recorded(
    algorithm: Any,
    h: Any,
    given: Settings,
    t: float,
    maximize: bool = False,
    inverse_scale: float | None = None,
) -> Body | None:
    """Record an update body.

    Args:
        algorithm: the class, with its ``update`` and ``buffers``.
        h: the hyperparameters of one group as attributes.
        given: the same as settings.
        t: the number of the step.
        maximize: whether the gradient's sign is turned.
        inverse_scale: what the gradient is multiplied by first, if it is scaled.

    Returns:
        The body; None where it asks for numbers that can't be followed.
    """
    recorder = Recorder(inputs_of(given.numbers, t, inverse_scale))
    *scalars, count = recorder.inputs[: len(given.numbers) + 1]
    scale = None if inverse_scale is None else recorder.inputs[-1]
    try:
        names = namespace(given.slots, scalars)
        program, numbers = trace(algorithm, names, count, maximize, scale)
        found = Body(program, recorder.program(numbers), given.slots)
        other = trace(algorithm, _without_tensors(h), t, maximize, inverse_scale)
    except (ArithmeticError, AttributeError, TypeError, ValueError, RuntimeError):
        return None
    is_same = other == (
        program,
        found.scalars.numbers([scalar.value for scalar in recorder.inputs]),
    )
    return found if recorder.is_whole and is_same else None


def _without_tensors(h: Any) -> SimpleNamespace:
    values = vars(h).items()
    return SimpleNamespace(**{k: float(v) if isinstance(v, Tensor) else v for k, v in values})


def fitting(
    known: Iterable[Body], given: Settings, t: float, inverse_scale: float | None
) -> Body | None:
    """Return the body among those known that a group goes through in a step, if one is."""
    inputs = inputs_of(given.numbers, t, inverse_scale)
    for body in known:
        if body.slots == given.slots and body.scalars.numbers(inputs) is not None:
            return body
    return None


def inputs_of(numbers: Sequence[float], t: float, inverse_scale: float | None) -> list[float]:
    """Return the inputs of a body's scalars in their order."""
    scale = [] if inverse_scale is None else [inverse_scale]
    return [*numbers, t, *scale]
