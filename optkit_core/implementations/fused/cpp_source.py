"""C++ source of a fused kernel for CPU: one loop over the elements of a whole bucket.

A body that reduces is written as several passes, by `cpp_passes`.

The source needs no header. It keeps to what torch's own operations compute for not-a-number,
infinities, denormal numbers and signed zeros, so nothing in it may be compiled with fast-math.
Its text is the key of the kernel cache: another letter, and every user compiles anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from optkit_core.implementations.fused import cpp_passes
from optkit_core.implementations.fused.cpp_types import TYPES
from optkit_core.native.libraries import with_layouts
from optkit_core.tracing.operations import OPERATIONS
from optkit_core.tracing.operations.lookup import expression
from optkit_core.tracing.program import Instruction, Program
from optkit_core.tracing.reduction_passes import passes_of

ELEMENTWISE, REDUCING = ("streaming.cpp", "kernel.cpp"), ("passes.cpp",)
"""The files of what surrounds the part that is a program's own."""

COMPUTED = {torch.float32: "float", torch.float64: "double"}


def source(program: Program, dtypes: Sequence[torch.dtype]) -> str:
    """Return the source of the kernel for a program.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer, in the program's order; half
            types are computed in float32, and everything in float64 where one of them is.
    """
    computed = COMPUTED[torch.float64 if torch.float64 in dtypes else torch.float32]
    return "\n".join(
        [
            f"typedef {computed} C;",
            with_layouts(_text("arithmetic.cpp")),
            *_constants(program, dtypes),
            *map(_text, ELEMENTWISE if program.is_elementwise else REDUCING),
            body(program, dtypes),
        ]
    )


def body(program: Program, dtypes: Sequence[torch.dtype]) -> str:
    """Return the part of the source that is the program's own.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer, in the program's order.
    """
    if program.is_elementwise:
        return loop(program, dtypes)
    return cpp_passes.source(passes_of(program), dtypes)


def loop(program: Program, dtypes: Sequence[torch.dtype]) -> str:
    """Return the part of the source that is the program's own: the loop over one row.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer, in the program's order.
    """
    operands, aside = range(program.operands), program.overwritten
    numbers = [
        # Computed in double on the host, and rounded once, as torch does with Python's numbers.
        f"    const C a{i + 1} = (C)job.numbers[{program.numbers} * job.set[r] + {i}];"
        for i in range(program.numbers)
    ]
    pointers = [
        f"    {TYPES[dtypes[i]]} *__restrict {_memory(program, i)} = "
        f"({TYPES[dtypes[i]]} *)job.memory[{i} * job.rows + r];"
        for i in operands
        if i not in aside
    ]
    read = program.read_values
    loads = [
        f"        const C v{i} = (C)get({_memory(program, i)}[i]);" for i in operands if i in read
    ]
    definitions = [
        f"        {_definition(value, instruction)}"
        for value, instruction in program.definitions.items()
    ]
    places = {i: f"{_memory(program, i)}[{'i - begin' if i in aside else 'i'}]" for i in operands}
    stores = [f"        put({places[i]}, (C)v{value});" for i, value in program.stores]
    return "\n".join(
        [
            "static void row(const Job &job, Index r, Index begin, Index end) {",
            *numbers,
            *pointers,
            *_asides(program, dtypes),
            "#pragma GCC ivdep",  # no element depends on another, though GCC can't know it
            "    for (Index i = begin; i < end; i++) {",
            *loads,
            *definitions,
            *stores,
            "    }",
            *(f"    if (is_streamed(job)) {_streaming(program, i)}" for i in aside),
            "}",
            "",
        ]
    )


def _asides(program: Program, dtypes: Sequence[torch.dtype]) -> list[str]:
    """Return where a block of what nobody reads goes: aside, if it is streamed from there."""
    lines = []
    for i in program.overwritten:
        name, kind = _memory(program, i), TYPES[dtypes[i]]
        lines += [
            f"    alignas(64) {kind} {name}aside[BLOCK];",
            f"    {kind} *const {name}at = ({kind} *)job.memory[{i} * job.rows + r] + begin;",
            f"    {kind} *__restrict {name} = is_streamed(job) ? {name}aside : {name}at;",
        ]
    return lines


def _streaming(program: Program, operand: int) -> str:
    name = _memory(program, operand)
    return f"stream({name}at, {name}aside, (end - begin) * (Index)sizeof(*{name}at));"


def _definition(value: int, instruction: Instruction) -> str:
    """Return an instruction as the definition of its value."""
    operation, operands = instruction
    kind = "bool" if OPERATIONS[operation].is_condition else "C"
    names = [f"v{operand}" if operand >= 0 else f"a{-operand}" for operand in operands]
    return f"const {kind} v{value} = {expression(operation, 'cpp', names)};"


def _memory(program: Program, operand: int) -> str:
    """Return the C++ name of an operand's memory: the body's own, which may be a keyword."""
    return f"{program.inputs[operand]}_"


def _constants(program: Program, dtypes: Sequence[torch.dtype]) -> list[str]:
    """Return what the surrounding source needs to know of the program."""
    if program.is_elementwise:
        read = [i for i in range(program.operands) if i in program.read_values]
        places = ", ".join(map(str, read))
        widths = ", ".join(str(dtypes[i].itemsize) for i in read)
        return [
            f"static const Index OPERANDS = {program.operands}, READS = {len(read)};",
            f"static const Index READ[OPERANDS] = {{{places}}}, WIDTHS[OPERANDS] = {{{widths}}};",
            f"static const bool OVERWRITES = {str(bool(program.overwritten)).lower()};",
        ]
    passes = passes_of(program)
    slots = max(1, 2 * sum(map(len, passes.reductions)))
    return [
        f"static const bool HAS_MATRICES = {str(passes.has_matrices).lower()};",
        f"static const Index PASSES = {len(passes.reductions)}, SLOTS = {slots};",
    ]


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text()
