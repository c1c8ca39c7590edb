"""What the compiler sees: a step's operations on all tensors of an optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.implementations.bundle import Bundle
from optkit_core.torch_compile.tensor_operations import REDUCED, WHOLE, apply
from optkit_core.tracing.program import Program


class Work(NamedTuple):
    """The rows of a bucket that do the same, with everything that they are computed from.

    Args:
        program: what to do with each row.
        inputs: the tensors of all rows for each input of the program: parameters, gradients,
            buffers, and the numbers of the step where the program reads them.
        numbers: float64, for each number of the program one element that all rows share, or
            one for each row.
        dtype: what elements are computed in.
        one_by_one: whether operations take tensors, not bundles.
    """

    program: Program
    inputs: list[list[Tensor]]
    numbers: Tensor
    dtype: torch.dtype
    one_by_one: bool


def execute(works: Sequence[Work]) -> None:
    """Do a step's operations; the compiler compiles this function and all that it calls."""
    for work in works:
        numbers = [list(column.unbind()) for column in work.numbers.unbind()]
        if not work.one_by_one:
            _Run(work.program, work.inputs, numbers, work.dtype).finish()
            continue
        for i in range(len(work.inputs[0])):
            row = [[tensors[i]] for tensors in work.inputs]
            own = [values if len(values) == 1 else [values[i]] for values in numbers]
            _Run(work.program, row, own, work.dtype).finish()


class _Run:
    """A program on the tensors of some rows: on bundles of them, or on those of a single row.

    What depends on numbers alone stays in float64 until it meets an element.
    """

    def __init__(
        self,
        program: Program,
        inputs: list[list[Tensor]],
        numbers: list[list[Tensor]],
        dtype: torch.dtype,
    ) -> None:
        """Compute the new values from the inputs; nothing is stored yet."""
        self.program = program
        self.inputs = inputs
        self.dtype = dtype
        touched = inputs[: program.operands]
        self.elements = {i: joined(self._computed(row)) for i, row in enumerate(touched)}
        self.shared = {-i: joined(row) for i, row in enumerate(numbers, start=1)}
        # There is such a row only where the device counts; in float32 powers would lose digits.
        for row in inputs[program.step :]:
            self.shared[program.step] = joined([step.to(torch.float64) for step in row])
        for value, (operation, values) in enumerate(
            program.instructions, start=len(program.inputs)
        ):
            if operation in REDUCED:
                self._reduce(value, operation, self._element(values[0]))
            elif all(operand in self.shared for operand in values):
                operands = self._aligned([self.shared[operand] for operand in values])
                self.shared[value] = apply(operation, operands)
            else:
                operands = [self._element(operand) for operand in values]
                self.elements[value] = apply(operation, operands)

    def _reduce(self, value: int, operation: str, source: Any) -> None:
        """Compute a reduction; what a tensor has one of goes on in float64, as in kernels."""
        tensors = source.tensors if isinstance(source, Bundle) else [source]
        results = [REDUCED[operation](tensor) for tensor in tensors]
        if operation in WHOLE:
            self.shared[value] = joined([result.to(torch.float64) for result in results])
        else:
            self.elements[value] = joined(results)

    def finish(self) -> None:
        """Store the results; one that is another input's old value is copied in time."""
        program = self.program
        # Everything is computed before the first store: a body may exchange two inputs.
        results = [self._element(value) for _, value in program.stores]
        results = [
            result.clone() if value < len(program.inputs) else result
            for result, (_, value) in zip(results, program.stores, strict=True)
        ]
        for result, (place, _) in zip(results, program.stores, strict=True):
            joined(self.inputs[place]).copy_(result)

    def _aligned(self, operands: list[Any]) -> list[Any]:
        """Return bundles where one of the operands is a bundle."""
        if not any(isinstance(operand, Bundle) for operand in operands):
            return operands
        return [x if isinstance(x, Bundle) else self._spread([x]) for x in operands]

    def _element(self, value: int) -> Any:
        """Return a value in the type that elements are computed in, for each row."""
        if value not in self.elements:
            shared = self.shared[value]
            row = self._computed(shared.tensors if isinstance(shared, Bundle) else [shared])
            self.elements[value] = self._spread(row)
        return self.elements[value]

    def _spread(self, tensors: list[Tensor]) -> Any:
        """Return a value for each row, where all share one too."""
        count = len(self.inputs[0])
        return joined(tensors if len(tensors) == count else tensors * count)

    def _computed(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return tensors in the type that is computed in, conditions as they are."""
        kept = (self.dtype, torch.bool)
        return [x if x.dtype in kept else x.to(self.dtype) for x in tensors]


def joined(tensors: list[Tensor]) -> Any:
    """Return the tensors of several rows as a bundle, that of a single row as it is."""
    return tensors[0] if len(tensors) == 1 else Bundle(tensors)
