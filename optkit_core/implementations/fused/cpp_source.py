"""C++ source of a fused kernel for CPU: one loop over the elements of a whole bucket.

The source needs no header. It keeps to what torch's own operations compute for not-a-number,
infinities, denormal numbers and signed zeros, so nothing in it may be compiled with fast-math.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from optkit_core.native.libraries import with_layouts
from optkit_core.tracing.recording import Line, Program
from optkit_core.tracing.vocabulary import CONDITIONS

OPERATIONS = {
    "constant": "{0}",
    "add": "{0} + {1}",
    "add_alpha": "multiply_add({1}, {2}, {0})",
    "sub": "{0} - {1}",
    "sub_alpha": "multiply_add({1}, -{2}, {0})",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "abs": "absolute({0})",
    "sign": "C({0} > 0) - C({0} < 0)",
    "square": "{0} * {0}",
    "cube": "{0} * {0} * {0}",
    "sqrt": "square_root({0})",
    "rsqrt": "C(1) / square_root({0})",
    "reciprocal": "C(1) / {0}",
    "pow_minus_2": "C(1) / ({0} * {0})",
    "pow": "power({0}, {1})",
    "rpow": "power({1}, {0})",
    "exp": "exponential({0})",
    "exp2": "exponential2({0})",
    "expm1": "exponential_m1({0})",
    "log": "logarithm({0})",
    "log2": "logarithm2({0})",
    "log10": "logarithm10({0})",
    "log1p": "logarithm_1p({0})",
    "sin": "sine({0})",
    "cos": "cosine({0})",
    "tanh": "hyperbolic_tangent({0})",
    "atan": "arc_tangent({0})",
    "atan2": "arc_tangent2({0}, {1})",
    "sigmoid": "C(1) / (C(1) + exponential(-{0}))",
    "erf": "error_function({0})",
    "floor": "round_down({0})",
    "ceil": "round_up({0})",
    "trunc": "cut_off({0})",
    "round": "round_to_even({0})",
    "lerp": "interpolated({0}, {1}, {2})",
    "addcmul": "multiply_add({1}, {2}, {0})",
    "addcmul_value": "multiply_add({3} * {1}, {2}, {0})",
    "addcdiv": "{0} + {1} / {2}",
    "addcdiv_value": "{0} + {3} * {1} / {2}",
    "maximum": "larger({0}, {1})",
    "minimum": "smaller({0}, {1})",
    "clamp_min": "at_least({0}, {1})",
    "clamp_max": "at_most({0}, {1})",
    "clamp_min_max": "at_most(at_least({0}, {1}), {2})",
    "copysign": "with_sign({0}, {1})",
    "hypot": "hypotenuse({0}, {1})",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "isnan": "{0} != {0}",
    "isinf": "absolute({0}) == C(__builtin_inf())",
    "isfinite": "absolute({0}) < C(__builtin_inf())",
    "logical_not": "{0} == 0",
    "logical_and": "({0} != 0) & ({1} != 0)",
    "logical_or": "({0} != 0) | ({1} != 0)",
    "where": "{1} ? {0} : {2}",
}
"""How each operation is written in C++, for operands of the type ``C`` that is computed in."""

TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}
"""The dtypes that a kernel reads and writes."""

COMPUTED = {torch.float32: "float", torch.float64: "double"}


def source(program: Program, dtypes: Sequence[torch.dtype]) -> str:
    """Return the source of the kernel for a program.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer, in the program's order; half
            types are computed in float32, and everything in float64 where one of them is.
    """
    computed = COMPUTED[torch.float64 if torch.float64 in dtypes else torch.float32]
    widths = ", ".join(str(dtype.itemsize) for dtype in dtypes)
    return "\n".join(
        [
            f"typedef {computed} C;",
            f"static const long long OPERANDS = {len(dtypes)}, WIDTHS[] = {{{widths}}};",
            _frame(),
            loop(program, dtypes),
        ]
    )


def loop(program: Program, dtypes: Sequence[torch.dtype]) -> str:
    """Return the part of the source that is the program's own: the loop over one row."""
    operands = range(program.operands)
    numbers = [
        f"    const C a{i + 1} = (C)job.numbers[{program.numbers} * job.set[r] + {i}];"
        for i in range(program.numbers)
    ]
    pointers = [
        f"    {TYPES[dtypes[i]]} *__restrict {name(program, i)} = "
        f"({TYPES[dtypes[i]]} *)job.memory[{i} * job.rows + r];"
        for i in operands
    ]
    read = {value for line in program.lines for value in line.operands}
    read |= {value for _, value in program.stores}
    loads = [
        f"        const C v{i} = (C)get({name(program, i)}[i]);" for i in operands if i in read
    ]
    first = len(program.inputs)
    lines = [f"        {written(line, first + k)}" for k, line in enumerate(program.lines)]
    stores = [f"        put({name(program, i)}[i], (C)v{value});" for i, value in program.stores]
    return "\n".join(
        [
            "static void row(const Job &job, Index r, Index begin, Index end) {",
            *numbers,
            *pointers,
            "#pragma GCC ivdep",
            "    for (Index i = begin; i < end; i++) {",
            *loads,
            *lines,
            *stores,
            "    }",
            "}",
            "",
        ]
    )


def written(line: Line, value: int) -> str:
    """Return a line of a program as a definition of its value."""
    kind = "bool" if line.operation in CONDITIONS else "C"
    operands = [f"v{o}" if o >= 0 else f"a{-o}" for o in line.operands]
    return f"const {kind} v{value} = {OPERATIONS[line.operation].format(*operands)};"


def name(program: Program, operand: int) -> str:
    """Return the C++ name of an operand's memory: the body's own, which may be a keyword."""
    return f"{program.inputs[operand]}_"


@cache
def _frame() -> str:
    return with_layouts(Path(__file__).with_name("kernel.cpp").read_text())
