"""Triton source of a fused kernel: one launch steps every element of a whole bucket.

A program of the launch takes one chunk of one row. It finds the row's addresses in a table
on the device, computes once what depends on numbers and the step count alone, in float64,
and walks the chunk in blocks: whole chunks of aligned memory without a mask, so that the
compiler reads 16 bytes at once, others element by element.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import torch

from optkit_core.implementations.fused.triton_operations import (
    as_number,
    defining,
    is_condition,
    written,
)
from optkit_core.tracing.recording import Program

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
        found = {self.program.step}
        for value, line in defining(self.program).items():
            if all(operand < 0 or operand in found for operand in line.operands):
                found.add(value)
        return found

    @property
    def needed(self) -> list[int]:
        """What the computation of an element needs from outside: values, and numbers as -1, -2."""
        made = defining(self.program).keys() - self.scalars
        lines = defining(self.program)
        used = [operand for value in lines if value in made for operand in lines[value].operands]
        used += [value for _, value in self.program.stores]
        return sorted({value for value in used if value not in made})


def source(signature: Signature) -> str:
    """Return the source of a kernel, a Python module with the function ``fused``."""
    return f"{_arithmetic()}{_element(signature)}\n\n\n{_kernel(signature)}\n"


def _element(signature: Signature) -> str:
    """Return the function that computes the new values of elements from the old ones."""
    program = signature.program
    lines = [
        f"v{value} = {written(program, line, _names(line.operands), signature.computed)}"
        for value, line in defining(program).items()
        if value not in signature.scalars
    ]
    results = [as_number(program, v, _name(v), signature.computed) for _, v in program.stores]
    head = ["@triton.jit", f"def element({', '.join(_names(signature.needed))}):"]
    return "\n".join([*head, *_indented([*lines, f"return {', '.join(results)}"])])


def _kernel(signature: Signature) -> str:
    program = signature.program
    numbers = ["numbers"] if signature.is_tabled else _number_arguments(signature)
    flag = [] if signature.found_inf is None else ["found_inf"]
    arguments = ["chunks", 'total: "i64"', "table", 'rows: "i64"', *flag, *numbers]
    names = [argument.split(":")[0] for argument in arguments]
    touched = [name(program, operand) for operand in _touched(signature)]
    aligned = " | ".join(f"{operand}at" for operand in touched)
    return "\n".join(
        [
            f"@triton.jit(do_not_specialize={names})",
            f"def fused({', '.join(arguments)}):",
            *_indented(_beginning(signature)),
            *_indented(_scalars(signature)),
            *_indented([f"if (left == {CHUNK}) & (({aligned}) % 16 == 0):"]),
            *_indented([f"{n} = tl.multiple_of({n}, 16)" for n in touched], 2),
            *_indented(_loop(signature, f"range(0, {CHUNK}, {BLOCK})", ""), 2),
            *_indented(["else:"]),
            *_indented(_loop(signature, f"range(0, left, {BLOCK})", ", offsets < left"), 2),
        ]
    )


def _number_arguments(signature: Signature) -> list[str]:
    return [
        f'x{place}: "fp64"' if dtype is None else f"x{place}"
        for place, dtype in enumerate(signature.numbers, start=1)
    ]


def _beginning(signature: Signature) -> list[str]:
    """Return the lines that find a program's chunk and the memory of its row."""
    lines = [
        "chunk = tl.program_id(0)",
        "row = tl.load(chunks + chunk).to(tl.int64)",
        f"begin = tl.load(chunks + total + chunk).to(tl.int64) * {CHUNK}",
        "size = tl.load(table + row + 1) - tl.load(table + row)",
        f"left = tl.minimum(size - begin, {CHUNK}).to(tl.int32)",
    ]
    if signature.found_inf is not None:
        lines.append("left = tl.where(tl.load(found_inf) == 0, left, 0)")
    for operand in _touched(signature):
        at, element = name(signature.program, operand), TYPES[signature.dtypes[operand]]
        lines.append(f"{at}at = tl.load(table + {_place(operand)})")
        lines.append(f"{at} = {at}at.to(tl.pointer_type({element})) + begin")
    return lines


def _scalars(signature: Signature) -> list[str]:
    """Return the lines that compute what all elements of a row share, in float64."""
    program, wide = signature.program, TYPES[torch.float64]
    lines = _numbers(signature)
    lines_of = defining(program)
    read = {operand for line in program.lines for operand in line.operands}
    if program.step in read | {value for _, value in program.stores}:
        at = f"tl.load(table + {_place(program.step)})"
        pointer = f"tl.pointer_type({TYPES[signature.step]})"
        lines.append(f"s{program.step} = tl.load({at}.to({pointer})).to({wide})")
    for value in sorted(signature.scalars & lines_of.keys()):
        line = lines_of[value]
        operands = _names(line.operands, "s", "n")
        lines.append(f"s{value} = {written(program, line, operands, wide)}")
    shared = [v for v in signature.needed if v < 0 or v in signature.scalars]
    return lines + [f"{_name(v)} = {_narrowed(signature, v)}" for v in shared]


def _numbers(signature: Signature) -> list[str]:
    """Return the lines that read a row's numbers, each float64."""
    wide, count = TYPES[torch.float64], len(signature.numbers)
    places = range(1, count + 1)
    if signature.is_tabled:
        first = f"set = tl.load(table + {_place(signature.program.step + 1)}) * {count}"
        return [first, *(f"n{i} = tl.load(numbers + set + {i - 1})" for i in places)]
    return [
        f"n{place} = tl.full((), x{place}, {wide})"
        if dtype is None
        else f"n{place} = tl.load(x{place}).to({wide})"
        for place, dtype in zip(places, signature.numbers, strict=True)
    ]


def _narrowed(signature: Signature, value: int) -> str:
    """Return a shared number in the type that elements are computed in."""
    if is_condition(signature.program, value):
        return _name(value, "s", "n")
    return f"{_name(value, 's', 'n')}.to({signature.computed})"


def _loop(signature: Signature, blocks: str, mask: str) -> list[str]:
    """Return the loop over the blocks of a chunk."""
    program = signature.program
    loads = [
        f"v{i} = tl.load({name(program, i)} + offsets{mask}).to({signature.computed})"
        for i in signature.needed
        if 0 <= i < program.operands
    ]
    results = [f"w{operand}" for operand, _ in program.stores]
    stores = [
        f"tl.store({name(program, i)} + offsets, w{i}{_narrowing(signature, i)}{mask})"
        for i, _ in program.stores
    ]
    call = f"{', '.join(results)} = element({', '.join(_names(signature.needed))})"
    body = [f"offsets = start + tl.arange(0, {BLOCK})", *loads, call, *stores]
    return [f"for start in {blocks}:", *_indented(body)]


def _narrowing(signature: Signature, operand: int) -> str:
    """Return the conversion before a store, which itself rounds to the type in memory."""
    return ".to(tl.float32)" if signature.dtypes[operand].itemsize == 2 else ""


def _place(operand: int) -> str:
    """Return where a row's address stands in the table, behind a zero and the rows' ends."""
    return f"1 + {1 + operand} * rows + row"


def _touched(signature: Signature) -> list[int]:
    """Return the operands that are read or written."""
    stored = [operand for operand, _ in signature.program.stores]
    read = [value for value in signature.needed if 0 <= value < signature.program.operands]
    return sorted({*read, *stored})


def name(program: Program, operand: int) -> str:
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
