"""C++ source of the passes of a kernel that reduces: what `passes.cpp` calls chunk by chunk.

A pass is a nest of loops: over the matrices of a chunk, their rows, and their columns, in tiles.
Each value is computed in the outermost loop that it varies with; what a tensor has one of is
computed in double. Values of rows and columns wait in small arrays for the loop over elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from optkit_core.implementations.fused.cpp_finish import FINISH, finish, identity
from optkit_core.implementations.fused.cpp_values import COLUMN, ROW, ROW_BEGINS, Values, indented
from optkit_core.tracing.extent import Extent
from optkit_core.tracing.reduction_passes import Passes

OPENMP = {"plus": "+", "larger": "larger", "smaller": "smaller"}
"""What OpenMP calls the ways to combine two values."""


def source(passes: Passes, dtypes: Sequence[torch.dtype]) -> str:
    """Return the generated functions: where scratch lies, every pass, and what follows each.

    Args:
        passes: those of the program.
        dtypes: of the parameter, the gradient and each buffer, in the program's order.
    """
    values = Values(passes, dtypes)
    numbers = range(len(passes.reductions))
    functions = [_scratch(values)]
    for number in numbers:
        functions += [Pass(values, number).function(), finish(values, number)]
    return "\n".join([*functions, _dispatch("pass", PASS, numbers), *_dispatched(numbers)])


PASS = "const Job &job, Index t, const Sizes &x, const Range &range, Index chunk, const Scratch &at"


def _dispatched(numbers: Iterable[int]) -> list[str]:
    return [_dispatch("finish", FINISH, numbers)]


def _dispatch(name: str, parameters: str, numbers: Iterable[int]) -> str:
    """Return the function that calls the one for a pass."""
    arguments = ", ".join(word.split()[-1].lstrip("&") for word in parameters.split(", "))
    cases = [f"        case {number}: {name}_{number}({arguments}); break;" for number in numbers]
    head = f"static void {name}(Index number, {parameters}) {{"
    return "\n".join([head, "    switch (number) {", *cases, "    }", "}", ""])


def _scratch(values: Values) -> str:
    lines = []
    for slot, value in enumerate(values.slots):
        size = values.result_size(value)
        lines.append(f"take({2 * slot}, {size}, memory);")
        if values.is_combined(value):
            # The only block of a matrix writes to where the result is to be.
            one = f"at[{2 * slot + 1}] = at[{2 * slot}];"
            many = f"take({2 * slot + 1}, x.blocks * ({size}), memory);"
            lines.append(f"if (x.blocks == 1) {one} else {many}")
        elif values.extent(value) == Extent.TENSOR:
            lines.append(f"take({2 * slot + 1}, sizeof(double) * x.chunks, memory);")
    head = "void Scratch::lay_out(const Sizes &x, char *memory) {"
    return "\n".join([head, *indented(lines), "}", ""])


class Pass:
    """One pass over a chunk.

    Args:
        values: how values are written.
        number: of the pass.
    """

    def __init__(self, values: Values, number: int) -> None:
        """Find out what is computed."""
        self.values = values
        self.number = number
        self.reduced = values.passes.reductions[number]
        stores = values.passes.stores[number]
        # What has no rows is stored when all chunks are done, since each of them may read it.
        self.stores = [(i, v) for i, v in stores if values.extent(i) & Extent.ROWS]
        wanted = [values.passes.source(value) for value in self.reduced]
        self.needed = values.passes.needed([*wanted, *(value for _, value in self.stores)])

    def function(self) -> str:
        """Return its function."""
        values = self.values
        body = [
            *values.tensor_level(self.needed, [i for i, _ in self.stores]),
            *(f"double total{q} = {self._identity(q)};" for q in self._totals()),
            *(
                f"if (!chunk) {self._added(f'total{q}', q)}"
                for q in self._from(Extent.TENSOR, self._totals())
            ),
            "for (Index b = range.b0; b < range.b1; b++) {",
            *indented(self._matrix()),
            "}",
            *(f"{values.partial(q, 'double')}[chunk] = total{q};" for q in self._totals()),
        ]
        head = f"static void pass_{self.number}({PASS}) {{"
        return "\n".join([head, *indented(body), "}", ""])

    def _matrix(self) -> list[str]:
        """Return the loop body over the matrices of a chunk."""
        values = self.values
        sums = [q for q in self.reduced if values.extent(q) == Extent.BATCH]
        return [
            *values.definitions(self.needed, Extent.BATCH),
            *(f"double z{q} = {self._identity(q)};" for q in sums),
            *self._once(self._reductions(Extent.BATCH)),
            *self._rows(),
            *self._columns(),
            *self._row_results(),
            *(self._matrix_result(q) for q in sums),
        ]

    def _matrix_result(self, q: int) -> str:
        if self.values.is_combined(q):
            return f"{self.values.partial(q)}[b * x.blocks + range.block] = (C)z{q};"
        return f"if (!range.block) {self.values.result(q)}[b] = (C)z{q};"

    def _rows(self) -> list[str]:
        """Return the loop over rows that computes what each of them has one of."""
        values = self.values
        waiting = values.used_by_elements(self.needed, ROW, self._element_targets())
        sums = [q for q in self.reduced if values.extent(q) == ROW]
        stores = [(i, v) for i, v in self.stores if values.extent(i) == ROW]
        body = [
            *values.definitions(self.needed, ROW),
            *(f"v{v}_[r - range.r0] = v{v};" for v in waiting),
            *(f"x{q}_[r - range.r0] = {self._identity(q)};" for q in sums),
            *self._reductions(ROW),
            *(values.store(i, v) for i, v in stores),
        ]
        arrays = [f"{values.kind(v)} v{v}_[BLOCK];" for v in waiting]
        arrays += [f"double x{q}_[BLOCK];" for q in sums]
        return [*arrays, *values.loop("r", "range.r0", "range.r1", body)]

    def _row_results(self) -> list[str]:
        values = self.values
        sums = [q for q in self.reduced if values.extent(q) == ROW]
        body = [f"{values.result(q)}[b * x.rows + r] = (C)x{q}_[r - range.r0];" for q in sums]
        return values.loop("r", "range.r0", "range.r1", body)

    def _columns(self) -> list[str]:
        """Return the loop over tiles of columns: what each column has one of, then elements."""
        values = self.values
        waiting = values.used_by_elements(self.needed, COLUMN, self._element_targets())
        sums = [q for q in self.reduced if values.extent(q) == COLUMN]
        body = [
            *values.definitions(self.needed, COLUMN),
            *(f"v{v}_[c - start] = v{v};" for v in waiting),
            *(f"y{q}_[c - start] = {self._identity(q)};" for q in sums),
            *self._once(self._reductions(COLUMN)),
        ]
        tile = [
            *(f"{values.kind(v)} v{v}_[TILE];" for v in waiting),
            *(f"C y{q}_[TILE];" for q in sums),
            *values.loop("c", "start", "stop", body),
            *self._elements(),
            *values.loop("c", "start", "stop", [self._column_result(q) for q in sums]),
        ]
        if not (body or self._element_targets()):
            return []
        stop = "const Index stop = min(start + TILE, range.c1);"
        head = "for (Index start = range.c0; start < range.c1; start += TILE) {"
        return [head, *indented([stop, *tile]), "}"]

    def _column_result(self, q: int) -> str:
        values, value = self.values, f"y{q}_[c - start]"
        if values.is_combined(q):
            place = "(b * x.blocks + range.block) * x.columns + c"
            return f"{values.partial(q)}[{place}] = {value};"
        return f"if (!range.block) {values.result(q)}[b * x.columns + c] = {value};"

    def _elements(self) -> list[str]:
        """Return the loops over the rows of a tile and over the elements of each."""
        values, targets = self.values, self._element_targets()
        if not targets:
            return []
        waiting = {
            extent: values.used_by_elements(self.needed, extent, targets)
            for extent in (ROW, COLUMN)
        }
        lanes = [q for q in self._from(Extent.ELEMENT, self.reduced) if not self._is_column(q)]
        inner = [
            *(f"const {values.kind(v)} v{v} = v{v}_[c - start];" for v in waiting[COLUMN]),
            *values.definitions(self.needed, Extent.ELEMENT),
            *(self._added(f"w{q}", q, "C") for q in lanes),
            *(
                self._added(f"y{q}_[c - start]", q, "C")
                for q in self._from(Extent.ELEMENT, self.reduced)
                if self._is_column(q)
            ),
            *(values.store(i, v) for i, v in self.stores if values.extent(i) == Extent.ELEMENT),
        ]
        body = [
            *(f"const {values.kind(v)} v{v} = v{v}_[r - range.r0];" for v in waiting[ROW]),
            *(f"C w{q} = {self._identity(q)};" for q in lanes),
            ROW_BEGINS,
            "const Index next = HAS_MATRICES ? (b * x.rows + r + 1) * x.columns + start : stop;",
            *values.fetched(self.needed, "next", "stop - start"),
            f"#pragma omp simd{self._clauses(lanes)}",
            *values.loop("c", "start", "stop", inner),
            *(self._lanes_result(q) for q in lanes),
        ]
        return values.loop("r", "range.r0", "range.r1", body)

    def _lanes_result(self, q: int) -> str:
        place = "total{q}" if self.values.extent(q) == Extent.TENSOR else "x{q}_[r - range.r0]"
        name, combine = place.format(q=q), self.values.passes.reduction(q).combine
        return f"{name} = {combine}({name}, (double)w{q});"

    def _clauses(self, lanes: Sequence[int]) -> str:
        ways = {q: OPENMP[self.values.passes.reduction(q).combine] for q in lanes}
        return "".join(f" reduction({way} : w{q})" for q, way in ways.items())

    def _reductions(self, extent: Extent) -> list[str]:
        """Return what combines values that vary over some dims, but not with each element."""
        lines = []
        for q in self._from(extent, self.reduced):
            result = self.values.extent(q)
            name = f"total{q}" if result == Extent.TENSOR else f"z{q}"
            if result == ROW:
                name = f"x{q}_[r - range.r0]"
            elif result == COLUMN:
                name = f"y{q}_[c - start]"
            lines.append(self._added(name, q, "C" if result == COLUMN else "double"))
        return lines

    def _once(self, lines: Sequence[str]) -> list[str]:
        """Return what only the first of a matrix's chunks does."""
        return ["if (!range.block) {", *indented(lines), "}"] if lines else []

    def _added(self, name: str, q: int, kind: str = "double") -> str:
        passes, value = self.values.passes, self.values.passes.source(q)
        what = f"({kind}){self.values.name(value, passes.extent(value))}"
        return f"{name} = {passes.reduction(q).combine}({name}, {what});"

    def _identity(self, q: int) -> str:
        return identity(self.values, q)

    def _is_column(self, q: int) -> bool:
        return self.values.extent(q) == COLUMN

    def _totals(self) -> list[int]:
        return [q for q in self.reduced if self.values.extent(q) == Extent.TENSOR]

    def _from(self, extent: Extent, reduced: Iterable[int]) -> list[int]:
        """Return those of some reductions whose values vary over these dims."""
        passes = self.values.passes
        return [q for q in reduced if passes.extent(passes.source(q)) == extent]

    def _element_targets(self) -> list[int]:
        """Return what the loop over elements is for: values that are reduced or stored there."""
        passes = self.values.passes
        sources = [passes.source(q) for q in self._from(Extent.ELEMENT, self.reduced)]
        stored = [v for i, v in self.stores if self.values.extent(i) == Extent.ELEMENT]
        return [*sources, *stored]
