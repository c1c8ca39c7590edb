"""Triton source of reductions: of a block, of a chunk, and of all chunks of a row."""

from __future__ import annotations

from optkit_core.implementations.fused.triton_signature import (
    BLOCK,
    CHUNK,
    Combination,
    Signature,
)
from optkit_core.tracing.operations.reductions import IDENTITY

REDUCED = {
    "plus": "tl.sum({x}, 0)",
    # With NaN in a block tl.max() returns another number.
    "larger": "tl.reduce({x}, 0, larger)",
    "smaller": "tl.reduce({x}, 0, smaller)",
}
"""What makes one number of a block, by how two are combined."""

COMBINING = f"""\
def fused(chunks, total: "i64", table, rows: "i64", sums, partial):
    chunk = tl.program_id(0)
    row = tl.load(chunks + chunk).to(tl.int64)
    size = tl.load(table + row + 1) - tl.load(table + row)
    first = tl.load(chunks + total + chunk) == 0
    count = tl.where(first, (size + {CHUNK - 1}) // {CHUNK}, 0).to(tl.int32)
    if first:
"""
"""What begins the kernel that combines chunks: the program of a row's first chunk does it."""

EACH = """\
        whole = tl.full((), {identity}, tl.float64)
        for start in range(0, count, {block}):
            at = start + tl.arange(0, {block})
            place = partial + {slot} * total + chunk + at
            x = tl.load(place, mask=at < count, other={identity})
            whole = {way}(whole, {reduced})
        tl.store(sums + {slot} * rows + row, whole)
"""
"""What it does for each reduction."""


def combining_kernel(signature: Combination) -> str:
    """Return the kernel that combines the results of chunks, in their order."""
    arguments = ["chunks", "total", "table", "rows", "sums", "partial"]
    bodies = [
        EACH.format(
            identity=_number(way),
            block=BLOCK,
            slot=slot,
            way=way,
            reduced=REDUCED[way].format(x="x"),
        )
        for slot, way in enumerate(signature.ways)
    ]
    return "".join([f"@triton.jit(do_not_specialize={arguments})\n", COMBINING, *bodies])


def identity(signature: Signature, value: int) -> str:
    """Return what a reduction begins with."""
    way = signature.passes.reduction(value).combine
    return f"tl.full((), {_number(way)}, tl.float64)"


def reduced(signature: Signature, value: int, is_masked: bool) -> list[str]:
    """Return the lines that reduce a block and add it to those before it, in float64.

    Args:
        signature: the kernel's.
        value: the reduction.
        is_masked: whether the block may end beyond the row.
    """
    way = signature.passes.reduction(value).combine
    lines = []
    if is_masked:
        lines.append(f"r{value} = tl.where(offsets < left, r{value}, {_number(way)})")
    whole = f"{REDUCED[way].format(x=f'r{value}')}.to(tl.float64)"
    return [*lines, f"total{value} = {way}(total{value}, {whole})"]


def _number(way: str) -> str:
    return f'float("{IDENTITY[way]}")'
