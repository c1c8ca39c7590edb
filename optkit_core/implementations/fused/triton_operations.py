"""How each operation of a trace is written in Triton, for values of float32 and float64.

The functions that stand here without a prefix are those of `arithmetic.triton`.
"""

from __future__ import annotations

from collections.abc import Sequence

from optkit_core.tracing.recording import Line, Program
from optkit_core.tracing.vocabulary import CONDITIONS

OPERATIONS = {
    "constant": "{0}",
    "add": "{0} + {1}",
    "add_alpha": "tl.fma({1}, {2}, {0})",
    "sub": "{0} - {1}",
    "sub_alpha": "tl.fma({1}, negative({2}), {0})",
    "mul": "{0} * {1}",
    "div": "quotient({0}, {1})",
    "neg": "negative({0})",
    "abs": "tl.abs({0})",
    "sign": "sign({0})",
    "square": "{0} * {0}",
    "cube": "{0} * {0} * {0}",
    "sqrt": "square_root({0})",
    "rsqrt": "inverse(square_root({0}))",
    "reciprocal": "inverse({0})",
    "pow_minus_2": "inverse({0} * {0})",
    "pow": "libdevice.pow({0}, {1})",
    "rpow": "libdevice.pow({1}, {0})",
    "exp": "libdevice.exp({0})",
    "exp2": "libdevice.exp2({0})",
    "expm1": "libdevice.expm1({0})",
    "log": "libdevice.log({0})",
    "log2": "libdevice.log2({0})",
    "log10": "libdevice.log10({0})",
    "log1p": "libdevice.log1p({0})",
    "sin": "libdevice.sin({0})",
    "cos": "libdevice.cos({0})",
    "tanh": "libdevice.tanh({0})",
    "atan": "libdevice.atan({0})",
    "atan2": "libdevice.atan2({0}, {1})",
    "sigmoid": "sigmoid({0})",
    "erf": "libdevice.erf({0})",
    "floor": "libdevice.floor({0})",
    "ceil": "libdevice.ceil({0})",
    "trunc": "libdevice.trunc({0})",
    "round": "libdevice.rint({0})",
    "lerp": "interpolated({0}, {1}, {2})",
    "addcmul": "tl.fma({1}, {2}, {0})",
    "addcmul_value": "tl.fma({3} * {1}, {2}, {0})",
    "addcdiv": "{0} + quotient({1}, {2})",
    "addcdiv_value": "{0} + quotient({3} * {1}, {2})",
    "maximum": "larger({0}, {1})",
    "minimum": "smaller({0}, {1})",
    "clamp_min": "at_least({0}, {1})",
    "clamp_max": "at_most({0}, {1})",
    "clamp_min_max": "at_most(at_least({0}, {1}), {2})",
    "copysign": "libdevice.copysign({0}, {1})",
    "hypot": "libdevice.hypot({0}, {1})",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "isnan": "{0} != {0}",
    "isinf": 'tl.abs({0}) == float("inf")',
    "isfinite": 'tl.abs({0}) < float("inf")',
    "logical_not": "{0} == 0",
    "logical_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
    "where": "tl.where({1}, {0}, {2})",
}
"""What stands for each operation; ``logical_and`` and the like take conditions."""

CONDITIONAL = {"logical_not": (0,), "logical_and": (0, 1), "logical_or": (0, 1), "where": (1,)}
"""The operands that are conditions, by operation."""


def defining(program: Program) -> dict[int, Line]:
    """Return the line that defines each value that doesn't come from memory."""
    first = len(program.inputs)
    return {first + position: line for position, line in enumerate(program.lines)}


def is_condition(program: Program, value: int) -> bool:
    """Return whether a value is true or false."""
    line = defining(program).get(value)
    return line is not None and line.operation in CONDITIONS


def as_number(program: Program, value: int, name: str, type_name: str) -> str:
    """Return a value as a number: a condition becomes 0 or 1."""
    return f"{name}.to({type_name})" if is_condition(program, value) else name


def written(program: Program, line: Line, names: Sequence[str], type_name: str) -> str:
    """Return the expression of a line.

    Args:
        program: that the line belongs to.
        line: the operation and its operands.
        names: of the operands.
        type_name: Triton's name of the type that is computed in.
    """
    conditional = CONDITIONAL.get(line.operation, ())
    operands = []
    for place, (value, name) in enumerate(zip(line.operands, names, strict=True)):
        if place not in conditional:
            operands.append(as_number(program, value, name, type_name))
        else:
            operands.append(name if is_condition(program, value) else f"({name} != 0)")
    return OPERATIONS[line.operation].format(*operands)
