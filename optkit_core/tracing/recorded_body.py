"""Recorded bodies: an update body run once, for all steps in which it does the same.

To run a body takes Python some 30 µs for each group and step, far more than compiled code takes
for the few operations that are left of it. A recording is valid as long as the body would do the
same: every comparison of its numbers comes out as it did, hyperparameters that aren't numbers are
what they were, and every number is finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.implementations.scalar_buffers import Cells, ScalarCell
from optkit_core.selection.offer import UpdateBody
from optkit_core.tracing.flat_hyperparameters import FlatHyperparameters, Slot, unflatten
from optkit_core.tracing.program import Program
from optkit_core.tracing.scalar_program import ScalarProgram, ScalarRecorder
from optkit_core.tracing.trace import trace

NO_CELLS: Cells = MappingProxyType({})


class RecordedBody(NamedTuple):
    """What an update body does with an element, and with the numbers of a group.

    Args:
        program: the kernel's.
        scalars: how its numbers come from a group's hyperparameters, the count of steps, the
            scalar buffers and, where gradients are scaled, the inverse of their scale. What it
            assigns to scalar buffers follows the numbers.
        slots: what the hyperparameters are.
        assigned: the positions, among the scalar buffers, of those that it assigns.
    """

    program: Program
    scalars: ScalarProgram
    slots: tuple[Slot, ...]
    assigned: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers the kernel takes."""
        return len(self.scalars.results) - len(self.assigned)


def record_body(
    algorithm: type[UpdateBody],
    h: Any,
    flat: FlatHyperparameters,
    t: float,
    maximize: bool = False,
    inverse_scale: float | None = None,
    buffers: tuple[str, ...] | None = None,
    is_new: bool = False,
    cells: Cells = NO_CELLS,
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
        cells: the scalar buffers as they are before the step.
        dtype: of the parameters.

    Returns:
        The body; None where it asks for numbers that can't be followed.
    """
    held = [cell.value for cell in cells.values()]
    recorder = ScalarRecorder(scalar_inputs(flat.numbers, t, held, inverse_scale))
    inputs = iter(recorder.inputs)
    scalars, count = list(islice(inputs, len(flat.numbers))), next(inputs)
    traced = {name: ScalarCell(next(inputs), cell.dtype) for name, cell in cells.items()}
    try:
        names, scale = unflatten(flat.slots, scalars), next(inputs, None)
        common = (buffers, is_new)
        program, numbers = trace(algorithm, names, count, maximize, scale, *common, traced, dtype)
        assigned, new = _assigned(traced)
        body = RecordedBody(program, recorder.program([*numbers, *new]), flat.slots, assigned)
        # A body may tell scalars from floats, by isinstance() for example: it has to do the same
        # with plain numbers.
        values, own = (
            _without_tensors(h),
            {n: ScalarCell(c.value, c.dtype) for n, c in cells.items()},
        )
        plain, found = trace(algorithm, values, t, maximize, inverse_scale, *common, own, dtype)
    # No reason is lost: the body is then run in each step, and would show the same error there.
    except (ArithmeticError, AttributeError, TypeError, ValueError, RuntimeError):
        return None
    wanted = (program, assigned, body.scalars.numbers([x.value for x in recorder.inputs]))
    own_assigned, own_new = _assigned(own)
    is_same = wanted == (plain, own_assigned, [*found, *own_new])
    return body if recorder.is_complete and is_same else None


def matching_body(
    bodies: Iterable[RecordedBody],
    flat: FlatHyperparameters,
    t: float,
    inverse_scale: float | None,
    held: Sequence[float] = (),
) -> RecordedBody | None:
    """Return the recorded body that a group goes through in a step, None where none is.

    Args:
        bodies: those to choose from, of one algorithm.
        flat: the group's hyperparameters.
        t: the number of the step.
        inverse_scale: what the gradient is multiplied by first, if it is scaled.
        held: what the scalar buffers hold.
    """
    inputs = scalar_inputs(flat.numbers, t, held, inverse_scale)
    for body in bodies:
        if body.slots == flat.slots and body.scalars.numbers(inputs) is not None:
            return body
    return None


def scalar_inputs(
    numbers: Sequence[float], t: float, held: Sequence[float], inverse_scale: float | None
) -> list[float]:
    """Return the inputs of a body's scalar program in their order.

    Args:
        numbers: those of a group's hyperparameters.
        t: the number of the step.
        held: what the scalar buffers hold.
        inverse_scale: what the gradient is multiplied by first, None where it isn't scaled.
    """
    # `read_row_inputs` in numbers.cpp and `RowNumbers.compute` count on this order.
    scale = [] if inverse_scale is None else [inverse_scale]
    return [*numbers, t, *held, *scale]


def _assigned(cells: Cells) -> tuple[tuple[int, ...], list[Any]]:
    """Return the positions of the scalar buffers that a body has assigned, and their numbers."""
    changed = [(i, cell.value) for i, cell in enumerate(cells.values()) if cell.is_assigned]
    return tuple([i for i, _ in changed]), [value for _, value in changed]


def _without_tensors(h: Any) -> SimpleNamespace:
    return SimpleNamespace(**{name: _plain(value) for name, value in vars(h).items()})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return float(value) if isinstance(value, Tensor) else value
