"""Programs: what an update body does with one element, as a list of instructions."""

from __future__ import annotations

from typing import NamedTuple

from optkit_core.tracing.operations import OPERATIONS


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
    """

    inputs: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    stores: tuple[tuple[int, int], ...]
    numbers: int

    @property
    def step(self) -> int:
        """The index of the value that stands for the count of steps."""
        return len(self.inputs) - 1

    @property
    def operands(self) -> int:
        """How many inputs are tensors of the parameter's shape."""
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

    def is_condition(self, value: int) -> bool:
        """Return whether a value is true or false."""
        index = value - len(self.inputs)
        return index >= 0 and OPERATIONS[self.instructions[index].operation].is_condition
