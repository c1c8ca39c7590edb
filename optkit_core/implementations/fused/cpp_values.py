"""Values of a kernel that reduces, as C++ has them: names, places in memory, definitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from optkit_core.implementations.fused.cpp_types import TYPES
from optkit_core.tracing.extent import DIMS, Extent
from optkit_core.tracing.operations.lookup import expression
from optkit_core.tracing.operations.reductions import REDUCTIONS
from optkit_core.tracing.reduction_passes import Passes

ROW = Extent.BATCH | Extent.ROWS
COLUMN = Extent.BATCH | Extent.COLUMNS

INDICES = {
    Extent.TENSOR: "0",
    Extent.BATCH: "b",
    ROW: "b * x.rows + r",
    COLUMN: "b * x.columns + c",
    Extent.ELEMENT: "row + c",
}
"""Where a value lies that varies over these dims: matrix b, row r and column c of tensor t."""

ROW_BEGINS = "const Index row = (b * x.rows + r) * x.columns;"
"""Defined outside the loop over c: with it inside, GCC 12 gathers what it reduces, element by
element, in five times the time."""

SIZES = ("x.batch", "x.rows", "x.columns")
WHOLE_SIZES = ("x.whole[0]", "x.whole[1]", "x.whole[2]")
"""Those of a tensor, and of the one that it is a part of, if it is."""


class Values:
    """How the values of a program are written.

    Args:
        passes: those of the program.
        dtypes: of the parameter, the gradient and each buffer, in the program's order.

    Attributes:
        slots: the reductions, in the order of their scratch.
    """

    def __init__(self, passes: Passes, dtypes: Sequence[torch.dtype]) -> None:
        """Number the reductions."""
        self.passes = passes
        self.dtypes = dtypes
        self.slots = [value for reduced in passes.reductions for value in reduced]

    def extent(self, value: int) -> Extent:
        """Return over which dims a value varies."""
        return self.passes.extent(value)

    def name(self, value: int, extent: Extent) -> str:
        """Return the name of a value, or number, in what is computed for some dims.

        Args:
            value: its index; -1, -2 and so on for a number.
            extent: the dims; those of a tensor as a whole are computed in double.
        """
        value_name, number_name = ("s", "n") if extent == Extent.TENSOR else ("v", "a")
        return f"{value_name}{value}" if value >= 0 else f"{number_name}{-value}"

    def kind(self, value: int) -> str:
        """Return the type of a value that varies within a tensor."""
        return "bool" if self.passes.program.is_condition(value) else "C"

    def result(self, value: int, kind: str = "C") -> str:
        """Return where the results of a reduction lie."""
        return f"(({kind} *)at.at[{2 * self.slots.index(value)}])"

    def partial(self, value: int, kind: str = "C") -> str:
        """Return where the results of its chunks lie."""
        return f"(({kind} *)at.at[{2 * self.slots.index(value) + 1}])"

    def result_size(self, value: int) -> str:
        """Return how many bytes the results of a reduction take."""
        extent = self.extent(value)
        factors = [size for dim, size in zip(DIMS, SIZES, strict=True) if extent & dim]
        kind = "C" if factors else "double"
        return " * ".join([f"sizeof({kind})", *factors])

    def is_combined(self, value: int) -> bool:
        """Return whether chunks of one matrix all contribute to each result."""
        source = self.extent(self.passes.source(value))
        extent = self.extent(value)
        return bool(source & Extent.ROWS and extent and not extent & Extent.ROWS)

    def tensor_level(self, needed: Sequence[int], stored: Iterable[int]) -> list[str]:
        """Return the lines that begin a function: numbers, memory, what a tensor has one of.

        Args:
            needed: the values that it computes.
            stored: the inputs that it stores to.
        """
        program = self.passes.program
        operands = [value for value in needed if value < program.operands]
        numbers = range(1, program.numbers + 1)
        lines = [
            f"const double n{i} = job.numbers[{program.numbers} * job.set[t] + {i - 1}]; "
            f"const C a{i} = (C)n{i};"
            for i in numbers
        ]
        lines += [self._pointer(i) for i in sorted({*operands, *stored})]
        for value in needed:
            if self.extent(value) == Extent.TENSOR:
                kind = "bool" if program.is_condition(value) else "double"
                lines.append(f"const {kind} s{value} = {self._form(value, Extent.TENSOR)};")
                lines.append(f"const {self.kind(value)} v{value} = s{value};")
        return lines

    def definitions(self, needed: Sequence[int], extent: Extent) -> list[str]:
        """Return the definitions of those values that vary over these dims exactly."""
        return [
            f"const {self.kind(value)} v{value} = {self._form(value, extent)};"
            for value in needed
            if self.extent(value) == extent
        ]

    def store(self, place: int, value: int) -> str:
        """Return what stores a value to an input."""
        extent = self.extent(place)
        name = self.name(value, extent)
        kind = "double" if extent == Extent.TENSOR else "C"
        return f"put({self._memory(place)}[{INDICES[extent]}], ({kind}){name});"

    def used_by_elements(
        self, needed: Sequence[int], extent: Extent, targets: Iterable[int]
    ) -> list[int]:
        """Return the values of these dims that the loop over elements takes.

        Args:
            needed: all values that are computed.
            extent: the dims.
            targets: what the loop is for.
        """
        used = set(targets)
        for value in needed:
            line = self.passes.program.definitions.get(value)
            if line is not None and self.extent(value) == Extent.ELEMENT:
                used |= set(line.operands)
        return [value for value in needed if value in used and self.extent(value) == extent]

    def fetched(self, needed: Sequence[int], begin: str, count: str) -> list[str]:
        """Return what asks for elements of all operands that are read.

        Args:
            needed: the values that are computed.
            begin: the index of the first element.
            count: how many there are.
        """
        operands = [v for v in needed if v < self.passes.program.operands]
        return [
            f"fetch({self._memory(operand)} + {begin}, {count});"
            for operand in operands
            if self.extent(operand) == Extent.ELEMENT
        ]

    def loop(self, index: str, begin: str, end: str, body: Sequence[str]) -> list[str]:
        """Return a loop, and nothing where there is nothing to do in it."""
        if not body:
            return []
        return [
            f"for (Index {index} = {begin}; {index} < {end}; {index}++) {{",
            *indented(body),
            "}",
        ]

    def _form(self, value: int, extent: Extent) -> str:
        """Return what a value is, in terms of those before it."""
        program = self.passes.program
        line = program.definitions.get(value)
        if line is None:
            return f"get({self._memory(value)}[{INDICES[extent]}])"
        reduction = REDUCTIONS.get(line.operation)
        if reduction is None:
            names = [self.name(operand, extent) for operand in line.operands]
            return expression(line.operation, "cpp", names)
        if reduction.is_count:
            return self._count(self.extent(line.operands[0]) & reduction.over)
        kind = "double" if extent == Extent.TENSOR else "C"
        return f"{self.result(value, kind)}[{INDICES[extent]}]"

    def _count(self, dims: Extent) -> str:
        factors = [size for dim, size in zip(DIMS, WHOLE_SIZES, strict=True) if dims & dim]
        return f"(double)({' * '.join(factors)})" if factors else "1"

    def _pointer(self, operand: int) -> str:
        kind = TYPES[self.dtypes[operand]]
        where = f"job.memory[{operand} * job.rows + t]"
        return f"{kind} *__restrict {self._memory(operand)} = ({kind} *){where};"

    def _memory(self, operand: int) -> str:
        return f"{self.passes.program.inputs[operand]}_"


def indented(lines: Iterable[str]) -> list[str]:
    """Return lines one level deeper; a pragma stays where it is read."""
    return [line if line.startswith("#") else f"    {line}" for line in lines]
