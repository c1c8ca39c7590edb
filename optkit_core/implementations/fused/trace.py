"""Traces: what an update body does to one element, recorded by symbols as a list of lines.

Symbols answer tensor methods. Numbers that the body computes on the host, a learning rate
divided by a bias correction for example, become the kernel's arguments: neither a schedule
nor the count of steps makes another kernel, and a branch of the body does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.implementations.fused.vocabulary import (
    CONDITIONS,
    POWERS,
    UntraceableError,
    operation,
)
from optkit_core.implementations.operators import Operators, is_in_place
from optkit_core.implementations.view import StateView

PARAMETER, GRADIENT = 0, 1
"""The numbers of the first two values; those of the buffers follow, then the step's."""


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


class Trace:
    """A body's lines while they are recorded, and the numbers that it gives them."""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        """Begin a trace of a body that reads these inputs."""
        self.inputs = inputs
        self.lines: list[Line] = []
        self.numbers: list[Any] = []

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
        line = operand.value - len(self.inputs) if isinstance(operand, Symbol) else None
        return line is None or (line >= 0 and self.lines[line].operation in CONDITIONS)

    def _place(self, operand: Any) -> int:
        if isinstance(operand, Symbol):
            return operand.value
        if isinstance(operand, (int, float)) or (isinstance(operand, Tensor) and not operand.dim()):
            self.numbers.append(operand)
            return -len(self.numbers)
        raise UntraceableError(f"the update body uses {operand!r:.60} in a tensor operation")


class Symbol(Operators):
    """Stands for a tensor in a trace: what its methods do is recorded."""

    def __init__(self, trace: Trace, value: int, fixed: bool = False) -> None:
        """Stand for the value of that number, for good if `fixed`."""
        self.trace = trace
        self.value = value
        self.fixed = fixed

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Record a tensor method; an in-place one changes what this symbol stands for."""
        if method == "detach":
            return self
        in_place = is_in_place(method)
        value = self._result(method.removesuffix("_") if in_place else method, arguments, keywords)
        if not in_place:
            return Symbol(self.trace, value)
        if self.fixed:
            raise UntraceableError("the update body changes its gradient in place")
        self.value = value
        return self

    @classmethod
    def call(cls, function: Any, arguments: Any, keywords: Any) -> Any:
        """Record a function of torch as the method of its first argument that it is."""
        if function is torch.where and len(arguments) == 3:
            arguments = (arguments[1], arguments[0], arguments[2])
        name, operands = operation(function.__name__, arguments[1:], keywords)
        recorded = next(value.trace for value in arguments if isinstance(value, Symbol))
        return Symbol(recorded, recorded.record(name, [arguments[0], *operands]))

    def _result(self, method: str, arguments: Any, keywords: Any) -> int:
        if method == "clone":
            return self.value
        if method == "type_as":
            return self.trace.record("constant", [self])
        if method in ("copy", "fill", "zero"):
            source: Any = arguments[0] if arguments else 0.0
            if isinstance(source, Symbol):
                return source.value
            return self.trace.record("constant", [source])
        name, operands = operation(method, arguments, keywords)
        exponent = operands[0] if name == "pow" else None
        if isinstance(exponent, (int, float)) and exponent in POWERS:
            name, operands = POWERS[exponent], []
        return self.trace.record(name, [self, *operands])

    def __bool__(self) -> bool:
        raise UntraceableError("the update body branches on the values of a tensor")

    def __getattr__(self, method: str) -> Any:
        """Return the tensor method of that name, which records itself."""
        try:
            return super().__getattr__(method)
        except AttributeError:
            if method.startswith("__"):
                raise
            raise UntraceableError(f"the update body asks for a tensor's {method}") from None

    def __rpow__(self, base: Any) -> Symbol:
        return Symbol(self.trace, self.trace.record("rpow", [self, base]))


def trace(
    algorithm: Any, h: Any, t: Any, maximize: bool = False, inverse_scale: Any = None
) -> tuple[Program, list[Any]]:
    """Record what an algorithm's update body does with these hyperparameters.

    Args:
        algorithm: the class, with its ``update`` and ``buffers``.
        h: the hyperparameters as attributes.
        t: the number of the step, or None where it comes from memory.
        maximize: whether the gradient's sign is turned.
        inverse_scale: what the gradient is multiplied by first, if it is scaled.

    Returns:
        The program, and the numbers that a launch of its kernel needs.

    Raises:
        UntraceableError: the body does something that no kernel can be written for.
    """
    inputs = ("p", "g", *algorithm.buffers, "t")
    recorded = Trace(inputs)
    symbols = [Symbol(recorded, value, value == GRADIENT) for value in range(len(inputs))]
    g = symbols[GRADIENT]
    if inverse_scale is not None:
        g = g.mul(inverse_scale)
    view = StateView()
    view.show(dict(zip(algorithm.buffers, symbols[2:-1], strict=True)))
    count = symbols[-1] if t is None else t
    try:
        algorithm.update(symbols[PARAMETER], g.neg() if maximize else g, view, h, count)
    except (AttributeError, TypeError) as error:
        raise UntraceableError(f"the update body can't be traced: {error}") from error
    stores = tuple((i, s.value) for i, s in enumerate(symbols[:-1]) if s.value != i)
    program = Program(inputs, tuple(recorded.lines), stores, len(recorded.numbers))
    return program, recorded.numbers
