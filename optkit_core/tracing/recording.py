"""Recordings: the calls of an update body as the instructions of a program.

A body makes the same calls step after step. Calls are therefore kept in a tree, each below the
one that it came after, with what it records: a body that makes known calls only gives its
numbers, and is recorded in a third of the time.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from optkit_core.tracing.extent import Extent
from optkit_core.tracing.operations import OPERATIONS
from optkit_core.tracing.operations.lookup import POWERS, UntraceableError, operation_of
from optkit_core.tracing.operations.reductions import REDUCTIONS
from optkit_core.tracing.program import Instruction, Program
from optkit_core.tracing.reduction_passes import extents_of
from optkit_core.tracing.scalar_program import TracedScalar

Number = float | Tensor | TracedScalar
"""A number that a body gives to an operation."""


class TracedTensor:
    """Stands for a tensor in a trace; `value` is the index of its value in the program."""

    value: int


class PositionedNumber(float):
    """A number that knows its position among the operands of a call.

    A method's arguments may be reordered on the way to an instruction; by the positions the same
    is done to the numbers of later calls.
    """

    position: int

    @classmethod
    def at(cls, position: int, operand: Any) -> PositionedNumber:
        """Return a number at its position.

        Args:
            position: among the operands of the call, the tensor being the first.
            operand: the number; that of a tensor isn't read, since it may be on a device.
        """
        known = operand.value if isinstance(operand, TracedScalar) else operand
        number = cls("nan" if isinstance(operand, Tensor) else known)
        number.position = position
        return number


class CallNode:
    """A call that a body makes after certain others, with what it records.

    Args:
        value: the index of the value that it results in.
        instructions: what it appends to the program.
        numbers: the positions of the numbers among its operands, in the instructions' order.

    Attributes:
        children: the calls that came after it, by their keys.
        programs: the programs that ended with it, by their stores.
    """

    __slots__ = ("children", "instructions", "numbers", "programs", "value")

    def __init__(
        self, value: int, instructions: Sequence[Instruction] = (), numbers: Sequence[int] = ()
    ) -> None:
        """Begin without calls that follow."""
        self.value = value
        self.instructions = instructions
        self.numbers = numbers
        self.children: dict[Hashable, CallNode] = {}
        self.programs: dict[tuple[tuple[int, int], ...], Program] = {}


class Recording:
    """A body's instructions while they are recorded, and the numbers that it gives them.

    Args:
        inputs: the names of the values that come from memory.
        shaped: the extents of those that aren't of the parameter's shape.

    Attributes:
        dtype: of the parameter, where it is known.
    """

    def __init__(
        self, inputs: tuple[str, ...], shaped: tuple[tuple[int, Extent], ...] = ()
    ) -> None:
        """Begin with a body that reads these inputs."""
        self.inputs = inputs
        self.shaped = shaped
        self.dtype: torch.dtype | None = None
        self.instructions: list[Instruction] = []
        self.numbers: list[Number] = []
        self._last_call = _root(inputs, shaped)

    def call(self, method: str, operands: Sequence[Any], names: tuple[str, ...] = ()) -> int:
        """Record a call of a tensor method; return the index of its value.

        Args:
            method: without a trailing underscore.
            operands: the tensor, then the other arguments.
            names: of the last of them, where they are given by keyword.
        """
        if method == "pow":  # which operation it is depends on the exponent
            operands = [_as_known_power(o) for o in operands]
        key = (method, names, *[_key(operand) for operand in operands])
        call = self._last_call.children.get(key)
        if call is None:
            call = self._first_call(method, operands, names)
            self._last_call.children[key] = call
        self._last_call = call
        self.instructions.extend(call.instructions)
        self.numbers.extend([operands[position] for position in call.numbers])
        return call.value

    def program(self, stores: tuple[tuple[int, int], ...]) -> Program:
        """Return what has been recorded, given which values the inputs take."""
        programs = self._last_call.programs
        if stores not in programs:
            instructions = tuple(self.instructions)
            count = len(self.numbers)
            program = Program(self.inputs, instructions, stores, count, self.shaped)
            _require_stores(program)
            programs[stores] = program
        return programs[stores]

    def extent(self, value: int) -> Extent:
        """Return over which dims a value varies."""
        program = Program(self.inputs, tuple(self.instructions), (), 0, self.shaped)
        return extents_of(program)[value]

    def _first_call(self, method: str, operands: Sequence[Any], names: tuple[str, ...]) -> CallNode:
        # On a copy, whose numbers are marked by their positions; this one keeps the numbers of now.
        new = Recording(self.inputs, self.shaped)
        new.instructions, new.numbers = list(self.instructions), list(self.numbers)
        marked = [PositionedNumber.at(i, o) if _is_number(o) else o for i, o in enumerate(operands)]
        positional = len(operands) - len(names)
        keywords = dict(zip(names, marked[positional:], strict=True))
        value = new.record_call(method, marked[0], marked[1:positional], keywords)
        added = new.numbers[len(self.numbers) :]
        numbers = [number.position for number in added if isinstance(number, PositionedNumber)]
        return CallNode(value, new.instructions[len(self.instructions) :], numbers)

    def record_call(
        self, method: str, tensor: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> int:
        """Record a call that isn't known yet; return the index of its value.

        Args:
            method: without a trailing underscore.
            tensor: the one whose method is called.
            arguments: the positional arguments.
            keywords: the keyword arguments.
        """
        if method == "clone":
            # Values never change: a method in place makes a symbol stand for another one.
            return int(tensor.value)
        if method == "type_as":
            return self.append("constant", [tensor])
        if method in REDUCTIONS:
            return self.append(method, [tensor])
        if method in ("copy", "fill"):
            source = (*arguments, *keywords.values())[0]
            is_traced = isinstance(source, TracedTensor)
            return source.value if is_traced else self.append("constant", [source])
        operation, operands = operation_of(method, arguments, keywords)
        exponent = operands[0] if operation.name == "pow" else None
        if isinstance(exponent, float) and exponent in POWERS:
            return self.append(POWERS[exponent], [tensor])
        return self.append(operation.name, [tensor, *operands])

    def append(self, operation: str, operands: Sequence[Any]) -> int:
        """Append an instruction and return the index of its value.

        Args:
            operation: its name.
            operands: the tensor, then its other operands.

        Raises:
            UntraceableError: its operands don't determine the dtype of its result.
        """
        # The number that where() chooses has the dtype of the other choice, not of the condition.
        values = operands if operation != "where" else (operands[0], operands[2])
        has_dtype = operation == "constant" or operation in REDUCTIONS
        has_dtype = has_dtype or OPERATIONS[operation].is_condition
        if not has_dtype and all(map(self._is_number_or_condition, values)):
            raise UntraceableError(
                f"the update body computes {operation} of nothing but numbers, true and false, "
                "whose dtype is torch's default; begin with mask.type_as(g), or choose between "
                "numbers by g.masked_fill(mask, number)"
            )
        indices = tuple([self._operand_index(operand) for operand in operands])
        self.instructions.append(Instruction(operation, indices))
        return len(self.inputs) + len(self.instructions) - 1

    def _is_number_or_condition(self, operand: Any) -> bool:
        if not isinstance(operand, TracedTensor):
            return True
        index = operand.value - len(self.inputs)
        operation = OPERATIONS.get(self.instructions[index].operation) if index >= 0 else None
        return operation is not None and operation.is_condition

    def _operand_index(self, operand: Any) -> int:
        if isinstance(operand, TracedTensor):
            return operand.value
        # Every number is a float by now, by `PositionedNumber`; what is left has more elements.
        if isinstance(operand, float):
            self.numbers.append(operand)
            return -len(self.numbers)
        raise UntraceableError(f"the update body uses {operand!r:.60} in a tensor operation")


@cache
def _root(inputs: tuple[str, ...], shaped: tuple[tuple[int, Extent], ...]) -> CallNode:
    """Return what the first calls of bodies with these inputs come after."""
    # Kept for good: numbers are no part of its keys, so that it doesn't grow with the steps.
    return CallNode(len(inputs) - 1)


def _require_stores(program: Program) -> None:
    """Raise where an input is given more values than it has elements, as torch does too."""
    extents = extents_of(program)
    for place, value in program.stores:
        if extents[value] & ~extents[place]:
            raise UntraceableError(
                f"the update body gives {program.inputs[place]} values of a larger shape"
            )


def _as_known_power(operand: Any) -> Any:
    """Return the exponent of `POWERS` that a scalar is, if it is one; the comparisons are noted."""
    if isinstance(operand, TracedScalar):
        for power in POWERS:
            if operand.recorder.record("eq", operand, power):
                return power
    return operand


def _key(operand: Any) -> int | str | type:
    """Return what makes a call another one: which value it takes, or an exponent of `POWERS`.

    All other numbers are alike: they change from step to step.
    """
    if isinstance(operand, TracedTensor):
        return operand.value
    if isinstance(operand, (float, int)):
        return POWERS.get(operand, PositionedNumber)
    return PositionedNumber if _is_number(operand) else type(operand)


def _is_number(operand: Any) -> bool:
    is_plain = isinstance(operand, (float, int, TracedScalar))
    return is_plain or (isinstance(operand, Tensor) and not operand.dim())
