"""The tensor methods that an update body may use in a fused kernel, and their arguments.

Each method is written as torch's signature in short: the names of its arguments after the
tensor itself, those with a question mark optional. An operation of a trace is the method's
name followed by the optional arguments that are given, as in ``addcmul_value``; a table per
target says how each operation is written there.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from optkit_core.errors import UnavailableError

METHODS: dict[str, tuple[str, ...]] = {
    name: tuple(arguments.split())
    for name, arguments in {
        "add": "other alpha?",
        "sub": "other alpha?",
        "mul": "other",
        "div": "other",
        "neg": "",
        "abs": "",
        "sign": "",
        "square": "",
        "sqrt": "",
        "rsqrt": "",
        "reciprocal": "",
        "pow": "exponent",
        "exp": "",
        "exp2": "",
        "expm1": "",
        "log": "",
        "log2": "",
        "log10": "",
        "log1p": "",
        "sin": "",
        "cos": "",
        "tanh": "",
        "atan": "",
        "atan2": "other",
        "sigmoid": "",
        "erf": "",
        "floor": "",
        "ceil": "",
        "trunc": "",
        "round": "",
        "lerp": "end weight",
        "addcmul": "tensor1 tensor2 value?",
        "addcdiv": "tensor1 tensor2 value?",
        "maximum": "other",
        "minimum": "other",
        "clamp": "min? max?",
        "clamp_min": "min",
        "clamp_max": "max",
        "copysign": "other",
        "hypot": "other",
        "lt": "other",
        "le": "other",
        "gt": "other",
        "ge": "other",
        "eq": "other",
        "ne": "other",
        "isnan": "",
        "isinf": "",
        "isfinite": "",
        "logical_not": "",
        "logical_and": "other",
        "logical_or": "other",
        "where": "condition other",
    }.items()
}
"""Every method and its arguments."""

ALIASES = {
    "max": "maximum",
    "min": "minimum",
    "clip": "clamp",
    "absolute": "abs",
    "negative": "neg",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "bitwise_not": "logical_not",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
}
"""Other names of the same methods."""

POWERS = {2: "square", 3: "cube", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal", -2: "pow_minus_2"}
"""Exponents with an operation of their own, as in torch; they are part of the kernel."""

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne", "isnan", "isinf", "isfinite")
CONDITIONS = frozenset((*COMPARISONS, "logical_not", "logical_and", "logical_or"))
"""Operations whose results are true or false."""


class UntraceableError(UnavailableError):
    """A body does something that no kernel can be written for; the text is the reason."""


def operation(method: str, arguments: Any, keywords: Any) -> tuple[str, list[Any]]:
    """Return the operation that a call of a tensor method is, and its operands in order.

    Args:
        method: without a trailing underscore.
        arguments: the positional arguments of the call.
        keywords: its keyword arguments.

    Raises:
        UntraceableError: the method isn't in the vocabulary, or takes no such arguments.

    >>> operation("add", (3.0,), {"alpha": 2.0})
    ('add_alpha', [3.0, 2.0])
    """
    name = ALIASES.get(method, method)
    if name not in METHODS:
        raise UntraceableError(f"the update body uses {method}(), which no fused kernel knows")
    wanted = METHODS[name]
    if len(arguments) > len(wanted):
        raise UntraceableError(f"the update body gives {method}() {len(arguments)} arguments")
    given = dict(keywords)
    operands: list[Any] = []
    for argument, value in zip_longest(wanted, arguments):
        key = argument.removesuffix("?")
        operand = given.pop(key, value)
        if operand is not None:
            operands.append(operand)
            name += f"_{key}" if argument.endswith("?") else ""
        elif argument == key:
            raise UntraceableError(f"the update body calls {method}() without {key}")
    if given:
        raise UntraceableError(
            f"the update body gives {method}() the argument {next(iter(given))!r}"
        )
    return name, operands
