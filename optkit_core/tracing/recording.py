"""Recordings: the calls of an update body as the lines of a program.

A body makes the same calls step after step. Each call is therefore kept behind the one that it
came after, with what it records: a body that goes a known way gives its numbers, and is recorded
in a third of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from optkit_core.tracing.scalars import Scalar
from optkit_core.tracing.vocabulary import (
    CONDITIONS,
    POWERS,
    UntraceableError,
    operation,
)


class Line(NamedTuple):
    """One operation; its result is the next value. A negative operand is a number's place."""

    operation: str
    operands: tuple[int, ...]


class Program(NamedTuple):
    """What a body does, apart from the numbers that it is given: the identity of a kernel.

    Args:
        inputs: names of the values that come from memory: ``p``, ``g``, the buffers, ``t``.
        lines: the operations in order.
        stores: ``(input, value)`` for each input that the body updates.
        numbers: how many numbers the lines refer to, by -1, -2 and so on.
    """

    inputs: tuple[str, ...]
    lines: tuple[Line, ...]
    stores: tuple[tuple[int, int], ...]
    numbers: int

    @property
    def step(self) -> int:
        """The number of the value that stands for the count of steps."""
        return len(self.inputs) - 1

    @property
    def operands(self) -> int:
        """How many inputs are tensors of the parameter's shape."""
        return len(self.inputs) - 1


class Operand:
    """Stands for a tensor: for the value of that number."""

    value: int


class Number(float):
    """A number among the operands of a call that is made for the first time."""

    position: int

    @classmethod
    def at(cls, position: int, value: Any) -> Number:
        """Return the number at a position; that of a tensor isn't looked at."""
        known = value.value if isinstance(value, Scalar) else value
        number = cls("nan" if isinstance(value, Tensor) else known)
        number.position = position
        return number


class Call:
    """A call that a body makes after certain others, with what it records.

    A body makes the same calls in every step, so that all but their numbers is known.

    Args:
        value: the number of the value that it results in.
        lines: what it appends to the program.
        numbers: the positions of the numbers among its operands, in the lines' order.
    """

    __slots__ = ("lines", "numbers", "programs", "then", "value")

    def __init__(self, value: int, lines: Sequence[Line] = (), numbers: Sequence[int] = ()) -> None:
        """Begin without calls that follow."""
        self.value = value
        self.lines = lines
        self.numbers = numbers
        self.then: dict[Any, Call] = {}
        self.programs: dict[Any, Program] = {}


class Recording:
    """A body's lines while they are recorded, and the numbers that it gives them."""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        """Begin with a body that reads these inputs."""
        self.inputs = inputs
        self.lines: list[Line] = []
        self.numbers: list[Any] = []
        self._last = _beginning(inputs)

    def call(self, method: str, operands: Sequence[Any], names: tuple[str, ...] = ()) -> int:
        """Record a call of a tensor method; return the number of its value.

        Args:
            method: without a trailing underscore.
            operands: the tensor, then the other arguments.
            names: of the last of them, where they are given by keyword.
        """
        if method == "pow":  # some exponents are operations of their own
            operands = [float(o) if isinstance(o, Scalar) else o for o in operands]
        key = (method, names, *[_sort(operand) for operand in operands])
        call = self._last.then.get(key)
        if call is None:
            call = self._last.then[key] = self._first_call(method, operands, names)
        self._last = call
        self.lines.extend(call.lines)
        self.numbers.extend([operands[position] for position in call.numbers])
        return call.value

    def program(self, stores: tuple[tuple[int, int], ...]) -> Program:
        """Return what has been recorded, given which values the inputs take."""
        known = self._last.programs
        if stores not in known:
            known[stores] = Program(self.inputs, tuple(self.lines), stores, len(self.numbers))
        return known[stores]

    def _first_call(self, method: str, operands: Sequence[Any], names: tuple[str, ...]) -> Call:
        new = Recording(self.inputs)
        new.lines, new.numbers = list(self.lines), list(self.numbers)
        marked = [Number.at(i, o) if _is_number(o) else o for i, o in enumerate(operands)]
        named = len(operands) - len(names)
        keywords = dict(zip(names, marked[named:], strict=True))
        value = new.result(method, marked[0], marked[1:named], keywords)
        numbers = [number.position for number in new.numbers[len(self.numbers) :]]
        return Call(value, new.lines[len(self.lines) :], numbers)

    def result(self, method: str, first: Any, arguments: Sequence[Any], keywords: Any) -> int:
        """Record a call; return the number of its value."""
        if method == "clone":
            return int(first.value)
        if method == "type_as":
            return self.record("constant", [first])
        if method in ("copy", "fill"):
            source = (*arguments, *keywords.values())[0]
            if isinstance(source, Operand):
                return source.value
            return self.record("constant", [source])
        if method == "__rpow__":
            return self.record("rpow", [first, *arguments])
        name, operands = operation(method, arguments, keywords)
        exponent = operands[0] if name == "pow" else None
        if isinstance(exponent, float) and exponent in POWERS:
            name, operands = POWERS[exponent], []
        return self.record(name, [first, *operands])

    def record(self, name: str, operands: Sequence[Any]) -> int:
        """Append a line and return the number of its value."""
        values = operands if name != "where" else (operands[0], operands[2])
        if name not in ("constant", *CONDITIONS) and all(map(self._is_logical, values)):
            raise UntraceableError(
                f"the update body computes {name} of nothing but numbers, true and false, whose "
                "dtype is torch's default; begin with mask.type_as(g), or give where() a tensor"
            )
        self.lines.append(Line(name, tuple([self._place(operand) for operand in operands])))
        return len(self.inputs) + len(self.lines) - 1

    def _is_logical(self, operand: Any) -> bool:
        """Return whether an operand is a number, or true or false in each element."""
        line = operand.value - len(self.inputs) if isinstance(operand, Operand) else None
        return line is None or (line >= 0 and self.lines[line].operation in CONDITIONS)

    def _place(self, operand: Any) -> int:
        if isinstance(operand, Operand):
            return operand.value
        if isinstance(operand, float):
            self.numbers.append(operand)
            return -len(self.numbers)
        raise UntraceableError(f"the update body uses {operand!r:.60} in a tensor operation")


@cache
def _beginning(inputs: tuple[str, ...]) -> Call:
    """Return what the first calls of bodies with these inputs follow."""
    return Call(len(inputs) - 1)


def _sort(operand: Any) -> Any:
    """Return what makes a call another one: which value it takes, or which special number."""
    if isinstance(operand, Operand):
        return operand.value
    if isinstance(operand, (float, int)):
        return POWERS.get(operand, Number)
    return Number if _is_number(operand) else type(operand)


def _is_number(operand: Any) -> bool:
    is_plain = isinstance(operand, (float, int, Scalar))
    return is_plain or (isinstance(operand, Tensor) and not operand.dim())
