"""Scalar programs: what an update body computes from hyperparameters and the count of steps.

A body computes numbers on the host, ``-h.lr / (1 - beta1**t)`` for example. Recorded once, as
instructions like those of a kernel, they are computed for every group and every step by
`numbers.cpp`, with the same operations in the same order. A comparison that comes out otherwise
than it did makes the recording invalid: the body may then go another way. So does a result that
isn't finite, for which Python would raise an error. What can't be recorded, such as
``math.sqrt(t)``, which needs a number at once, makes the body be run anew in every step;
`optkit_core.scalar_math` has functions that are recorded.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from ctypes import c_float
from typing import Any, Literal, NamedTuple

NOT_COMPARED = -1
"""The outcome of an instruction that isn't a comparison."""

SCALAR_OPERATIONS: dict[str, Callable[[float, float], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    # As C computes it; `operator.pow` makes a negative number to a fraction complex.
    "pow": math.pow,
    "neg": lambda x, _: -x,
    "abs": lambda x, _: abs(x),
    "sqrt": lambda x, _: math.sqrt(x),
    "exp": lambda x, _: math.exp(x),
    "log": lambda x, _: math.log(x),
    "min": min,
    "max": max,
    # The nearest float32, infinite where there is none.
    "float32": lambda x, _: c_float(x).value,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}
"""What is recorded, in the order of `numbers.cpp`."""

_CALLS = tuple(SCALAR_OPERATIONS.values())
_CODES = {name: code for code, name in enumerate(SCALAR_OPERATIONS)}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")

ValueSource = tuple[Literal["input", "constant", "result"], int]
"""What a value is, and its index among these."""


class ScalarInstruction(NamedTuple):
    """One operation.

    Args:
        operation: its position in `SCALAR_OPERATIONS`.
        left: the index of its first operand's value.
        right: the index of its second operand's value.
        outcome: what a comparison came out as, 0 or 1; `NOT_COMPARED` for anything else.
    """

    operation: int
    left: int
    right: int
    outcome: int


class ScalarProgram(NamedTuple):
    """How a body's numbers come from its scalars.

    The values are the inputs, then the constants, then the results of the instructions.

    Args:
        inputs: how many scalars there are.
        constants: the numbers that the body itself brings.
        instructions: the operations in order.
        results: which values are the numbers that a kernel takes.
    """

    inputs: int
    constants: tuple[float, ...]
    instructions: tuple[ScalarInstruction, ...]
    results: tuple[int, ...]

    def numbers(self, inputs: Sequence[float]) -> list[float] | None:
        """Return the numbers for other inputs.

        Returns:
            None where a comparison comes out otherwise, or where a number isn't finite.
        """
        values = [*inputs, *self.constants]
        for instruction in self.instructions:
            left, right = values[instruction.left], values[instruction.right]
            try:
                values.append(_CALLS[instruction.operation](left, right))
            # Where Python raises, compiled code finds an infinity or NaN: neither goes on.
            except (ArithmeticError, ValueError):
                return None
            if instruction.outcome not in (NOT_COMPARED, values[-1]):
                return None
        # Inputs aren't looked at: what is computed of them is, and they needn't be used at all.
        is_finite = all(map(math.isfinite, values[self.inputs :]))
        numbers = [values[index] for index in self.results]
        return numbers if is_finite and all(map(math.isfinite, numbers)) else None


class ScalarRecorder:
    """Notes the operations on the scalars of one run of a body.

    Args:
        values: what the inputs are in this run.

    Attributes:
        inputs: the scalars to run the body with.
        is_complete: whether everything that was done to them has been noted.
    """

    def __init__(self, values: Sequence[float]) -> None:
        """Begin without operations."""
        self.inputs = [TracedScalar(self, ("input", i), value) for i, value in enumerate(values)]
        self.is_complete = True
        self._constants: dict[tuple[float, float], int] = {}
        self._instructions: list[tuple[int, ValueSource, ValueSource, int]] = []

    def record(self, name: str, left: Any, right: Any = 0.0) -> Any:
        """Note an operation.

        Args:
            name: its key in `SCALAR_OPERATIONS`.
            left: its first operand, a scalar or a number.
            right: its second operand, a scalar or a number; of no account where it has but one.

        Returns:
            Its result as a scalar; of a comparison what it comes out as.
        """
        result = SCALAR_OPERATIONS[name](_value(left), _value(right))
        outcome = int(result) if name in COMPARISONS else NOT_COMPARED
        index = len(self._instructions)
        instruction = (_CODES[name], self._source(left), self._source(right), outcome)
        self._instructions.append(instruction)
        if name in COMPARISONS:
            return bool(result)
        return TracedScalar(self, ("result", index), result)

    def program(self, results: Sequence[Any]) -> ScalarProgram:
        """Return what has been recorded, given which operands are the body's numbers."""
        sources = [self._source(result) for result in results]
        inputs, constants = len(self.inputs), tuple(value for value, _ in self._constants)
        first = {"input": 0, "constant": inputs, "result": inputs + len(constants)}

        def index(source: ValueSource) -> int:
            return first[source[0]] + source[1]

        instructions = tuple(
            ScalarInstruction(code, index(left), index(right), outcome)
            for code, left, right, outcome in self._instructions
        )
        return ScalarProgram(inputs, constants, instructions, tuple(map(index, sources)))

    def _source(self, operand: Any) -> ValueSource:
        if isinstance(operand, TracedScalar):
            return operand.source
        value = float(operand)
        key = (value, math.copysign(1.0, value))  # 0.0 and -0.0 are equal, and differ as divisors
        return "constant", self._constants.setdefault(key, len(self._constants))


class TracedScalar:
    """A number that a body computes with; what is done to it is noted.

    Args:
        recorder: what notes it.
        source: what the number is among the recorder's values.
        value: the number in this run.
    """

    __slots__ = ("recorder", "source", "value")

    def __init__(self, recorder: ScalarRecorder, source: ValueSource, value: float) -> None:
        """Stand for a value of a recorder."""
        self.recorder = recorder
        self.source = source
        self.value = value

    def __float__(self) -> float:
        """Return the number of this run, which nobody can follow from here on."""
        self.recorder.is_complete = False
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


def recorded(name: str, *operands: Any) -> Any:
    """Return the result of an operation on numbers, noted if one of them is a scalar.

    Args:
        name: its key in `SCALAR_OPERATIONS`.
        *operands: one or two.

    >>> recorded("max", 1, 2.5)
    2.5
    """
    for operand in operands:
        if isinstance(operand, TracedScalar):
            return operand.recorder.record(name, *operands)
    return SCALAR_OPERATIONS[name](*map(float, (*operands, 0.0)[:2]))


def _value(operand: Any) -> float:
    return operand.value if isinstance(operand, TracedScalar) else float(operand)


def _binary(name: str) -> Callable[[TracedScalar, Any], Any]:
    def method(self: TracedScalar, other: Any) -> Any:
        if not isinstance(other, (TracedScalar, int, float)):
            # Python then asks the other operand, a symbol or a tensor, whose the operation is.
            return NotImplemented
        return self.recorder.record(name, self, other)

    return method


def _reflected(name: str) -> Callable[[TracedScalar, Any], Any]:
    def method(self: TracedScalar, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        return self.recorder.record(name, other, self)

    return method


def _unary(name: str) -> Callable[[TracedScalar], Any]:
    return lambda self: self.recorder.record(name, self)


def _unrecorded(name: str) -> Callable[..., Any]:
    function = getattr(float, f"__{name}__")
    return lambda self, *others: function(float(self), *(_plain(other) for other in others))


def _plain(operand: Any) -> Any:
    return float(operand) if isinstance(operand, TracedScalar) else operand


# Operators are looked up in the class, where `__getattr__` isn't asked.
for _name in ("add", "sub", "mul", "truediv", "pow", *COMPARISONS):
    setattr(TracedScalar, f"__{_name}__", _binary(_name))
for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(TracedScalar, f"__r{_name}__", _reflected(_name))
for _name in ("neg", "abs"):
    setattr(TracedScalar, f"__{_name}__", _unary(_name))
for _name in ("floordiv", "rfloordiv", "mod", "rmod", "divmod", "trunc", "floor", "ceil", "round"):
    setattr(TracedScalar, f"__{_name}__", _unrecorded(_name))
