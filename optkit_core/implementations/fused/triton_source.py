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

import torch

from optkit_core.implementations.fused.triton_reductions import (
    combining_kernel,
    identity,
    reduced,
)
from optkit_core.implementations.fused.triton_signature import (
    BLOCK,
    CHUNK,
    TYPES,
    Combination,
    Signature,
)
from optkit_core.tracing.extent import Extent
from optkit_core.tracing.operations import OPERATIONS
from optkit_core.tracing.operations.lookup import expression
from optkit_core.tracing.operations.reductions import REDUCTIONS
from optkit_core.tracing.program import Instruction, Program


def source(signature: Signature | Combination) -> str:
    """Return the source of a kernel, a Python module with the function ``fused``."""
    if isinstance(signature, Combination):
        return f"{_arithmetic()}{combining_kernel(signature)}"
    element = "" if signature.is_after else f"{_element(signature)}\n\n\n"
    return f"{_arithmetic()}{element}{_kernel(signature)}\n"


def _element(signature: Signature) -> str:
    """Return the function that computes the new values of elements from the old ones."""
    program, computed = signature.program, signature.computed
    lines = [
        f"v{value} = {_expression(program, instruction, _names(instruction.operands), computed)}"
        for value, instruction in signature.elements.items()
    ]
    results = [_number(program, value, _name(value), computed) for value in signature.results]
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
    arguments += ["sums", "partial"] if signature.slots else []
    names = [argument.split(":")[0] for argument in arguments]
    head = [
        # Triton would compile a kernel anew for values that are 1 or multiples of 16.
        f"@triton.jit(do_not_specialize={names})",
        f"def fused({', '.join(arguments)}):",
        *_indented(_find_chunk(signature)),
        *_indented(_scalars(signature)),
    ]
    if signature.is_after:
        return "\n".join([*head, *_indented(_tensor_stores(signature))])
    elements = [o for o in _touched(signature) if not _is_per_tensor(signature, o)]
    pointers = [_memory(program, operand) for operand in elements]
    addresses = " | ".join(f"{pointer}at" for pointer in pointers)
    return "\n".join(
        [
            *head,
            *_indented(f"total{q} = {identity(signature, q)}" for q in signature.reduced),
            *_indented([f"if (left == {CHUNK}) & (({addresses}) % 16 == 0):"]),
            *_indented([f"{p} = tl.multiple_of({p}, 16)" for p in pointers], 2),
            *_indented(_loop(signature, f"range(0, {CHUNK}, {BLOCK})", ""), 2),
            *_indented(["else:"]),
            *_indented(_loop(signature, f"range(0, left, {BLOCK})", ", offsets < left"), 2),
            *_indented(
                f"tl.store(partial + {slot} * total + chunk, total{q})"
                for slot, q in enumerate(signature.reduced)
            ),
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
        begin = "" if _is_per_tensor(signature, operand) else " + begin"
        lines.append(f"{pointer} = {pointer}at.to(tl.pointer_type({dtype})){begin}")
    return lines


def _is_per_tensor(signature: Signature, operand: int) -> bool:
    """Return whether an operand is a single number of each row."""
    return signature.passes.extent(operand) == Extent.TENSOR


def _tensor_stores(signature: Signature) -> list[str]:
    """Return the lines that store what a row has one of: its first chunk's program does it."""
    program, wide = signature.program, TYPES[torch.float64]
    stores = [
        f"tl.store({_memory(program, i)}, {_number(program, v, f's{v}', wide)}"
        f"{_narrowing(signature, i)})"
        for i, v in signature.stores
    ]
    return ["if (begin == 0) & (left > 0):", *_indented(stores)]


def _scalars(signature: Signature) -> list[str]:
    """Return the lines that compute what all elements of a row share, in float64."""
    program, wide = signature.program, TYPES[torch.float64]
    lines = _numbers(signature)
    definitions = program.definitions
    if program.step in signature.passes.needed(signature.targets):
        address = f"tl.load(table + {_offset(program.step)})"
        pointer = f"tl.pointer_type({TYPES[signature.step]})"
        lines.append(f"s{program.step} = tl.load({address}.to({pointer})).to({wide})")
    for operand in sorted(signature.scalars & {*range(program.operands)}):
        lines.append(f"s{operand} = tl.load({_memory(program, operand)}).to({wide})")
    for value in sorted(signature.scalars & definitions.keys()):
        lines.append(f"s{value} = {_shared(signature, value, definitions[value], wide)}")
    shared = [v for v in signature.needed if v < 0 or v in signature.scalars]
    return lines + [f"{_name(v)} = {_narrowed(signature, v)}" for v in shared]


def _shared(signature: Signature, value: int, line: Instruction, wide: str) -> str:
    """Return what a value is that all elements of a row share."""
    if value in signature.slots:
        return f"tl.load(sums + {signature.slots.index(value)} * rows + row)"
    reduction = REDUCTIONS.get(line.operation)
    if reduction is not None:  # a count
        is_whole = signature.passes.extent(line.operands[0]) == Extent.ELEMENT
        return f"size.to({wide})" if is_whole else f"tl.full((), 1, {wide})"
    return _expression(signature.program, line, _names(line.operands, "s", "n"), wide)


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
        if 0 <= i < program.operands and i not in signature.scalars
    ]
    results = [f"r{q}" for q in signature.reduced]
    results += [f"w{operand}" for operand, _ in signature.stores]
    stores = [
        f"tl.store({_memory(program, i)} + offsets, w{i}{_narrowing(signature, i)}{mask})"
        for i, _ in signature.stores
    ]
    call = f"{', '.join(results)} = element({', '.join(_names(signature.needed))})"
    sums = [line for q in signature.reduced for line in reduced(signature, q, bool(mask))]
    body = [f"offsets = start + tl.arange(0, {BLOCK})", *loads, call, *sums, *stores]
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
    stored = [operand for operand, _ in signature.stores]
    values = {*signature.needed, *signature.scalars}
    read = [value for value in values if 0 <= value < signature.program.operands]
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
