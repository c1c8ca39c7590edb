"""Programs: what an update body does with one element, as a list of instructions."""

from __future__ import annotations

from typing import NamedTuple

from optkit_core.tracing.extent import Extent
from optkit_core.tracing.operations import OPERATIONS
from optkit_core.tracing.operations.reductions import REDUCTIONS


class Instruction(NamedTuple):
    """One operation, whose result is the next value of its program.

    Args:
        operation: the operation's name.
        operands: for each operand the index of its value, or -1, -2 and so on for the program's
            first number, its second and so on.
    """

    operation: str
    operands: tuple[int, ...]


class Program(NamedTuple):
    """What a body does, apart from the numbers that it is given: the identity of a kernel.

    Its values are its inputs, then the results of its instructions.

    Args:
        inputs: names of the values that come from memory: ``p``, ``g``, the buffers, ``t``.
        instructions: the operations in order.
        stores: ``(input, value)`` for each input that the body updates.
        numbers: how many numbers the instructions refer to.
        shaped: the extents of the inputs that aren't of the parameter's shape, by their index.
    """

    inputs: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    stores: tuple[tuple[int, int], ...]
    numbers: int
    shaped: tuple[tuple[int, Extent], ...] = ()

    @property
    def step(self) -> int:
        """The index of the value that stands for the count of steps."""
        return len(self.inputs) - 1

    @property
    def operands(self) -> int:
        """How many inputs are the parameter, its gradient and its buffers."""
        return len(self.inputs) - 1

    @property
    def definitions(self) -> dict[int, Instruction]:
        """The instruction that results in each value that doesn't come from memory."""
        return dict(enumerate(self.instructions, start=len(self.inputs)))

    @property
    def read_values(self) -> set[int]:
        """The values, and the numbers as -1, -2 and so on, that instructions or stores use."""
        used = {operand for line in self.instructions for operand in line.operands}
        return used | {value for _, value in self.stores}

    @property
    def overwritten(self) -> list[int]:
        """The inputs that are stored to, and whose values before that nobody uses."""
        used = self.read_values
        return [place for place, _ in self.stores if place not in used]

    def is_condition(self, value: int) -> bool:
        """Return whether a value is true or false."""
        index = value - len(self.inputs)
        operation = OPERATIONS.get(self.instructions[index].operation) if index >= 0 else None
        return operation is not None and operation.is_condition

    @property
    def is_elementwise(self) -> bool:
        """Whether it looks at one element at a time."""
        return not (self.shaped or any(i.operation in REDUCTIONS for i in self.instructions))

    @property
    def reduces(self) -> bool:
        """Whether a value is computed of many elements."""
        operations = {REDUCTIONS.get(instruction.operation) for instruction in self.instructions}
        return any(operation and not operation.is_count for operation in operations)
