"""C++ source of what follows a pass: results of chunks are combined, and the last values stored."""

from __future__ import annotations

from optkit_core.implementations.fused.cpp_values import COLUMN, Values, indented
from optkit_core.tracing.extent import Extent
from optkit_core.tracing.operations.reductions import IDENTITY

FINISH = "const Job &job, Index t, const Sizes &x, const Scratch &at"
"""The parameters of such a function."""

IDENTITY_FORMS = {"0": "0", "inf": "__builtin_inf()", "-inf": "-__builtin_inf()"}
"""What changes nothing, in C++."""


def identity(values: Values, value: int) -> str:
    """Return what changes nothing when a reduction combines it with another value."""
    return IDENTITY_FORMS[IDENTITY[values.passes.reduction(value).combine]]


def finish(values: Values, number: int) -> str:
    """Return the function of what is done when all chunks of a tensor have gone through a pass.

    Args:
        values: how values are written.
        number: of the pass.
    """
    passes = values.passes
    lines = [line for q in passes.reductions[number] for line in _combined(values, q)]
    if number + 1 == len(passes.reductions):
        lines += _stores_without_rows(values)
    head = f"static void finish_{number}({FINISH}) {{"
    return "\n".join([head, *indented(lines), "}", ""])


def _combined(values: Values, q: int) -> list[str]:
    """Return what combines the results of chunks, in their order."""
    combine = values.passes.reduction(q).combine
    start = f"double sum = {identity(values, q)};"
    if values.extent(q) == Extent.TENSOR:
        add = f"sum = {combine}(sum, {values.partial(q, 'double')}[i]);"
        loop = values.loop("i", "0", "x.chunks", [add])
        return ["{", *indented([start, *loop, f"*{values.result(q, 'double')} = sum;"]), "}"]
    if not values.is_combined(q):
        return []
    width = "x.columns" if values.extent(q) == COLUMN else "1"
    place = f"(b * x.blocks + i) * {width} + c"
    add = f"sum = {combine}(sum, (double){values.partial(q)}[{place}]);"
    body = [
        start,
        *values.loop("i", "0", "x.blocks", [add]),
        f"{values.result(q)}[b * {width} + c] = (C)sum;",
    ]
    each = values.loop("b", "0", "x.batch", values.loop("c", "0", width, body))
    return ["if (x.blocks > 1) {", *indented(each), "}"]


def _stores_without_rows(values: Values) -> list[str]:
    """Return the stores that had to wait, since every chunk may have read what they overwrite."""
    passes = values.passes
    stores = [(i, v) for i, v in passes.program.stores if not values.extent(i) & Extent.ROWS]
    needed = passes.needed(v for _, v in stores)

    def at(extent: Extent) -> list[str]:
        return [values.store(i, v) for i, v in stores if values.extent(i) == extent]

    columns = [*values.definitions(needed, COLUMN), *at(COLUMN)]
    matrices = [
        *values.definitions(needed, Extent.BATCH),
        *values.loop("c", "0", "x.columns", columns),
        *at(Extent.BATCH),
    ]
    return [
        *values.tensor_level(needed, [i for i, _ in stores]),
        *values.loop("b", "0", "x.batch", matrices),
        *at(Extent.TENSOR),
    ]
