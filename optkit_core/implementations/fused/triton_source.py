"""Triton source of a fused kernel: one launch steps every element of a whole bucket.

A program of the launch takes one chunk of one row. It finds the row's addresses in a table
on the device, computes once what depends on numbers and the step count alone, in float64,
and walks the chunk in blocks: whole chunks of aligned memory without a mask, so that the
compiler reads 16 bytes at once, others element by element.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import torch

from optkit_core.tracing.operations import OPERATIONS
from optkit_core.tracing.operations.lookup import expression
from optkit_core.tracing.program import Instruction, Program

CHUNK = 4096
"""Elements of a row that one program steps."""

BLOCK = 1024
"""Elements that a program takes at once: eight for each thread of four warps."""

TYPES = {
    torch.float32: "tl.float32",
    torch.float64: "tl.float64",
    torch.bfloat16: "tl.bfloat16",
    torch.float16: "tl.float16",
}
"""The dtypes that a kernel reads and writes."""


class Signature(NamedTuple):
    """What one kernel is written for.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer, in the program's order; half
            types are computed in float32, and everything in float64 where one of them is.
        step: dtype of the step counters, which the program may read from the device.
        numbers: for each number of the program the dtype in which it lies on the device, or
            None where the host gives it.
        found_inf: dtype of the number that tells the launch on the device, by not being zero,
            that nothing is to be done; None where there is none.
        is_tabled: whether rows take different sets of numbers, all of which lie on the device.
    """

    program: Program
    dtypes: tuple[torch.dtype, ...]
    step: torch.dtype = torch.float32
    numbers: tuple[torch.dtype | None, ...] = ()
    found_inf: torch.dtype | None = None
    is_tabled: bool = False

    @property
    def computed(self) -> str:
        """Triton's name of the type that elements are computed in."""
        return TYPES[torch.float64 if torch.float64 in self.dtypes else torch.float32]

    @property
    def scalars(self) -> set[int]:
        """The values that are the same for all elements of a row."""
        shared = {self.program.step}
        for value, instruction in self.program.definitions.items():
            if all(operand < 0 or operand in shared for operand in instruction.operands):
                shared.add(value)
        return shared

    @property
    def needed(self) -> list[int]:
        """What the computation of an element needs from outside: values, and numbers as -1, -2."""
        definitions, scalars = self.program.definitions, self.scalars
        per_element = {value: line for value, line in definitions.items() if value not in scalars}
        used = {operand for line in per_element.values() for operand in line.operands}
        used |= {value for _, value in self.program.stores}
        return sorted(used - per_element.keys())


def source(signature: Signature) -> str:
    """Return the source of a kernel, a Python module with the function ``fused``."""
    return f"{_arithmetic()}{_element(signature)}\n\n\n{_kernel(signature)}\n"


def _element(signature: Signature) -> str:
    """Return the function that computes the new values of elements from the old ones."""
    program, computed = signature.program, signature.computed
    lines = [
        f"v{value} = {_expression(program, instruction, _names(instruction.operands), computed)}"
        for value, instruction in program.definitions.items()
        if value not in signature.scalars
    ]
    results = [_number(program, value, _name(value), computed) for _, value in program.stores]
    head = ["@triton.jit", f"def element({', '.join(_names(signature.needed))}):"]
    return "\n".join([*head, *_indented([*lines, f"return {', '.join(results)}"])])


def _expression(
    program: Program, instruction: Instruction, names: Sequence[str], type_name: str
) -> str:
    """Return an instruction as an expression.

    Args:
        program: what it belongs to.
        instruction: the operation and its operands.
        names: of the operands.
        type_name: Triton's name of the type that is computed in.
    """
    operation, operands = instruction
    conditions = OPERATIONS[operation].condition_operands
    return expression(
        operation,
        "triton",
        [
            _condition(program, value, name)
            if position in conditions
            else _number(program, value, name, type_name)
            for position, (value, name) in enumerate(zip(operands, names, strict=True))
        ],
    )


def _condition(program: Program, value: int, name: str) -> str:
    """Return a value as a condition: whether a number isn't zero."""
    return name if program.is_condition(value) else f"({name} != 0)"


def _number(program: Program, value: int, name: str, type_name: str) -> str:
    """Return a value as a number: a condition becomes 0 or 1."""
    return f"{name}.to({type_name})" if program.is_condition(value) else name


def _kernel(signature: Signature) -> str:
    program = signature.program
    numbers = ["numbers"] if signature.is_tabled else _number_arguments(signature)
    flag = [] if signature.found_inf is None else ["found_inf"]
    # Without a type Triton makes 32 or 64 bits of an integer, depending on its value.
    arguments = ["chunks", 'total: "i64"', "table", 'rows: "i64"', *flag, *numbers]
    names = [argument.split(":")[0] for argument in arguments]
    pointers = [_memory(program, operand) for operand in _touched(signature)]
    addresses = " | ".join(f"{pointer}at" for pointer in pointers)
    return "\n".join(
        [
            # Triton would compile a kernel anew for values that are 1 or multiples of 16.
            f"@triton.jit(do_not_specialize={names})",
            f"def fused({', '.join(arguments)}):",
            *_indented(_find_chunk(signature)),
            *_indented(_scalars(signature)),
            *_indented([f"if (left == {CHUNK}) & (({addresses}) % 16 == 0):"]),
            *_indented([f"{p} = tl.multiple_of({p}, 16)" for p in pointers], 2),
            *_indented(_loop(signature, f"range(0, {CHUNK}, {BLOCK})", ""), 2),
            *_indented(["else:"]),
            *_indented(_loop(signature, f"range(0, left, {BLOCK})", ", offsets < left"), 2),
        ]
    )


def _number_arguments(signature: Signature) -> list[str]:
    return [
        # Without it Triton takes Python's numbers as float32.
        f'x{index}: "fp64"' if dtype is None else f"x{index}"
        for index, dtype in enumerate(signature.numbers, start=1)
    ]


def _find_chunk(signature: Signature) -> list[str]:
    """Return the lines that find a program's chunk and the memory of its row."""
    lines = [
        "chunk = tl.program_id(0)",
        "row = tl.load(chunks + chunk).to(tl.int64)",
        # In 64 bits: a row may have more elements than 32 bits can count.
        f"begin = tl.load(chunks + total + chunk).to(tl.int64) * {CHUNK}",
        "size = tl.load(table + row + 1) - tl.load(table + row)",
        f"left = tl.minimum(size - begin, {CHUNK}).to(tl.int32)",
    ]
    if signature.found_inf is not None:
        # Nothing is left where the step is skipped, and no loop begins.
        lines.append("left = tl.where(tl.load(found_inf) == 0, left, 0)")
    for operand in _touched(signature):
        pointer, dtype = _memory(signature.program, operand), TYPES[signature.dtypes[operand]]
        lines.append(f"{pointer}at = tl.load(table + {_offset(operand)})")
        lines.append(f"{pointer} = {pointer}at.to(tl.pointer_type({dtype})) + begin")
    return lines


def _scalars(signature: Signature) -> list[str]:
    """Return the lines that compute what all elements of a row share, in float64."""
    program, wide = signature.program, TYPES[torch.float64]
    lines = _numbers(signature)
    definitions = program.definitions
    if program.step in program.read_values:
        address = f"tl.load(table + {_offset(program.step)})"
        pointer = f"tl.pointer_type({TYPES[signature.step]})"
        lines.append(f"s{program.step} = tl.load({address}.to({pointer})).to({wide})")
    for value in sorted(signature.scalars & definitions.keys()):
        operands = _names(definitions[value].operands, "s", "n")
        lines.append(f"s{value} = {_expression(program, definitions[value], operands, wide)}")
    shared = [v for v in signature.needed if v < 0 or v in signature.scalars]
    return lines + [f"{_name(v)} = {_narrowed(signature, v)}" for v in shared]


def _numbers(signature: Signature) -> list[str]:
    """Return the lines that read a row's numbers, each float64."""
    wide, count = TYPES[torch.float64], len(signature.numbers)
    indices = range(1, count + 1)
    if signature.is_tabled:
        first = f"set = tl.load(table + {_offset(signature.program.step + 1)}) * {count}"
        return [first, *(f"n{i} = tl.load(numbers + set + {i - 1})" for i in indices)]
    return [
        f"n{i} = tl.full((), x{i}, {wide})" if dtype is None else f"n{i} = tl.load(x{i}).to({wide})"
        for i, dtype in zip(indices, signature.numbers, strict=True)
    ]


def _narrowed(signature: Signature, value: int) -> str:
    """Return a shared number in the type that elements are computed in."""
    if signature.program.is_condition(value):
        return _name(value, "s", "n")
    return f"{_name(value, 's', 'n')}.to({signature.computed})"


def _loop(signature: Signature, blocks: str, mask: str) -> list[str]:
    """Return the loop over the blocks of a chunk.

    Args:
        signature: the kernel's.
        blocks: the range of their first elements.
        mask: what follows an offset where a block may end beyond the row.
    """
    program = signature.program
    loads = [
        f"v{i} = tl.load({_memory(program, i)} + offsets{mask}).to({signature.computed})"
        for i in signature.needed
        if 0 <= i < program.operands
    ]
    results = [f"w{operand}" for operand, _ in program.stores]
    stores = [
        f"tl.store({_memory(program, i)} + offsets, w{i}{_narrowing(signature, i)}{mask})"
        for i, _ in program.stores
    ]
    call = f"{', '.join(results)} = element({', '.join(_names(signature.needed))})"
    body = [f"offsets = start + tl.arange(0, {BLOCK})", *loads, call, *stores]
    return [f"for start in {blocks}:", *_indented(body)]


def _narrowing(signature: Signature, operand: int) -> str:
    """Return the conversion before a store, which itself rounds to the type in memory.

    Half types are rounded from float32, as torch does it: a float64 rounded to one directly could
    come out as another number.
    """
    return ".to(tl.float32)" if signature.dtypes[operand].itemsize == 2 else ""


def _offset(operand: int) -> str:
    """Return the offset of a row's address in the table, behind a zero and the rows' ends."""
    return f"1 + {1 + operand} * rows + row"


def _touched(signature: Signature) -> list[int]:
    """Return the operands that are read or written."""
    stored = [operand for operand, _ in signature.program.stores]
    read = [value for value in signature.needed if 0 <= value < signature.program.operands]
    return sorted({*read, *stored})


def _memory(program: Program, operand: int) -> str:
    """Return the name of an operand's memory: the body's own, which may be a word of Python."""
    return f"{program.inputs[operand]}_"


def _names(operands: Iterable[int], value: str = "v", number: str = "c") -> list[str]:
    return [_name(operand, value, number) for operand in operands]


def _name(operand: int, value: str = "v", number: str = "c") -> str:
    return f"{value}{operand}" if operand >= 0 else f"{number}{-operand}"


def _indented(lines: Iterable[str], depth: int = 1) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]


@cache
def _arithmetic() -> str:
    return files("optkit_core.implementations.fused").joinpath("arithmetic.triton").read_text()
