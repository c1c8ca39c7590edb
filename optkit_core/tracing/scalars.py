"""Scalars: what an update body computes from hyperparameters and the count of steps.

A body computes numbers on the host, ``-h.lr / (1 - beta1**t)`` for example. Recorded once, as
lines like those of a kernel, they are computed for every group and every step by `numbers.cpp`,
with the same operations in the same order. A condition holds for as long as it comes out as it
did. What can't be recorded, such as ``math.sqrt(t)``, which needs a number at once, makes the
body be run anew in every step.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

UNUSED = -1
"""The outcome of a line that isn't a comparison."""

OPERATIONS: dict[str, Callable[[float, float], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "pow": math.pow,
    "neg": lambda x, _: -x,
    "abs": lambda x, _: abs(x),
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}
"""What is recorded, in the order of `numbers.cpp`."""

_CALLS = tuple(OPERATIONS.values())
NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


class ScalarLine(NamedTuple):
    """One operation: its number, its operands, and what a comparison came out as."""

    operation: int
    left: int
    right: int
    outcome: int


class ScalarProgram(NamedTuple):
    """How a body's numbers come from its scalars.

    The values are the inputs, then the constants, then the results of the lines.

    Args:
        inputs: how many scalars there are.
        constants: the numbers that the body itself brings.
        lines: the operations in order.
        results: which values are the numbers that a kernel takes.
    """

    inputs: int
    constants: tuple[float, ...]
    lines: tuple[ScalarLine, ...]
    results: tuple[int, ...]

    def numbers(self, inputs: Sequence[float]) -> list[float] | None:
        """Return the numbers for other inputs.

        Returns:
            None where a comparison comes out otherwise, or where a number isn't finite.
        """
        values = [*inputs, *self.constants]
        for line in self.lines:
            try:
                values.append(_CALLS[line.operation](values[line.left], values[line.right]))
            except (ArithmeticError, ValueError):
                return None
            if line.outcome != UNUSED and values[-1] != line.outcome:
                return None
        is_finite = all(map(math.isfinite, values[self.inputs :]))
        numbers = [values[place] for place in self.results]
        return numbers if is_finite and all(map(math.isfinite, numbers)) else None


class Recorder:
    """Notes the operations on the scalars of one run of a body."""

    def __init__(self, values: Sequence[float]) -> None:
        """Begin with the values that the inputs have in this run."""
        self.inputs = [Scalar(self, ("input", place), value) for place, value in enumerate(values)]
        self.is_whole = True
        self._constants: dict[tuple[float, float], int] = {}
        self._lines: list[tuple[int, Any, Any, int]] = []

    def record(self, name: str, left: Any, right: Any) -> Any:
        """Note an operation and return its result: a scalar, or what a comparison comes out as."""
        x, y = _value(left), _value(right)
        result = OPERATIONS[name](x, y)
        outcome = int(result) if name in COMPARISONS else UNUSED
        place = ("line", len(self._lines))
        self._lines.append((NUMBERS[name], self.place(left), self.place(right), outcome))
        return bool(result) if name in COMPARISONS else Scalar(self, place, result)

    def place(self, operand: Any) -> tuple[str, int]:
        """Return where an operand stands: among the inputs, the constants or the lines."""
        if isinstance(operand, Scalar):
            return operand.place
        value = float(operand)
        key = (value, math.copysign(1.0, value))
        return "constant", self._constants.setdefault(key, len(self._constants))

    def program(self, results: Sequence[Any]) -> ScalarProgram:
        """Return what has been recorded, given which operands are the body's numbers."""
        places = [self.place(result) for result in results]
        inputs, constants = len(self.inputs), tuple(value for value, _ in self._constants)
        first = {"input": 0, "constant": inputs, "line": inputs + len(constants)}

        def number(place: tuple[str, int]) -> int:
            return first[place[0]] + place[1]

        lines = [ScalarLine(o, number(x), number(y), outcome) for o, x, y, outcome in self._lines]
        return ScalarProgram(inputs, constants, tuple(lines), tuple(map(number, places)))


class Scalar:
    """A number that a body computes with; what is done to it is noted."""

    __slots__ = ("place", "recorder", "value")

    def __init__(self, recorder: Recorder, place: tuple[str, int], value: float) -> None:
        """Stand for a value of a recorder."""
        self.recorder = recorder
        self.place = place
        self.value = value

    def __float__(self) -> float:
        """Return the number of this run, which nobody can follow from here on."""
        self.recorder.is_whole = False
        return self.value

    def __int__(self) -> int:
        return int(float(self))

    def __getattr__(self, name: str) -> Any:
        """Return a method of floats; what it results in can't be followed."""
        return getattr(float(self), name)

    def __hash__(self) -> int:
        return hash(float(self))

    def __format__(self, form: str) -> str:
        return format(float(self), form)

    def __bool__(self) -> bool:
        return bool(self.recorder.record("ne", self, 0.0))


def _value(operand: Any) -> float:
    return operand.value if isinstance(operand, Scalar) else float(operand)


def _binary(name: str) -> Callable[[Scalar, Any], Any]:
    def method(self: Scalar, other: Any) -> Any:
        if not isinstance(other, (Scalar, int, float)):
            return NotImplemented
        return self.recorder.record(name, self, other)

    return method


def _reflected(name: str) -> Callable[[Scalar, Any], Any]:
    def method(self: Scalar, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        return self.recorder.record(name, other, self)

    return method


def _followed(name: str) -> Callable[[Scalar], Any]:
    return lambda self: self.recorder.record(name, self, 0.0)


def _lost(name: str) -> Callable[..., Any]:
    function = getattr(float, name)
    return lambda self, *others: function(float(self), *(_plain(other) for other in others))


def _plain(operand: Any) -> Any:
    return float(operand) if isinstance(operand, Scalar) else operand


for _name in ("add", "sub", "mul", "truediv", "pow", *COMPARISONS):
    setattr(Scalar, f"__{_name}__", _binary(_name))
for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Scalar, f"__r{_name}__", _reflected(_name))
for _name in ("neg", "abs"):
    setattr(Scalar, f"__{_name}__", _followed(_name))
for _name in ("__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__divmod__", "__trunc__"):
    setattr(Scalar, _name, _lost(_name))
for _name in ("__floor__", "__ceil__", "__round__"):
    setattr(Scalar, _name, _lost(_name))
