"""From which size on a fused step is the quicker one on CPU: the figures of `thresholds.py`.

A bucket reaches a size by its count of tensors or by their elements. So the count is looked
for with tensors of one element, and the elements with a single tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

import optkit
from benchmarks.pairs import interleaved, row
from optkit_core.thresholds import SMALLEST

COUNTS = (1, 2, 3, 4, 6, 8)
ELEMENTS = (1, 1024, 4096, 8192, 16384, 32768, 65536)
ALGORITHMS = ("adamax", "adagrad")


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each size, fused against the for-loop, then what follows from them."""
    torch.set_num_threads(1)
    ratios: dict[Any, float] = {}
    for what, sizes, shapes in (
        ("tensors", COUNTS, lambda count: [(1,)] * count),
        ("elements", ELEMENTS, lambda elements: [(elements,)]),
    ):
        for size in sizes:
            rows = [_compared(name, f"{size} {what}", shapes(size), repeats) for name in ALGORITHMS]
            ratios[what, size] = max(found["ratio"] for found in rows)
            yield from rows
        pays = [size for size in sizes if _stays_below_one(ratios, what, sizes, size)]
        known = getattr(SMALLEST["cpu"]["fused"], what)
        print(f"fused pays from {pays[0] if pays else None} {what} on; thresholds.py says {known}")


def _compared(
    name: str, what: str, shapes: Sequence[tuple[int, ...]], repeats: int
) -> dict[str, Any]:
    slow, quick = (_step(name, shapes, kind) for kind in ("forloop", "fused"))
    pair = interleaved(slow, quick, repeats)
    return row(f"{name} fused (torch: forloop), {what}", 1, pair, "us", 1.0)


def _step(name: str, shapes: Sequence[tuple[int, ...]], implementation: str) -> Callable[[], Any]:
    params = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
    for p in params:
        p.grad = torch.ones_like(p)
    step: Callable[[], Any] = optkit.create(name, params, implementation=implementation).step
    return step


def _stays_below_one(ratios: Any, what: str, sizes: Sequence[int], least: int) -> bool:
    return all(ratios[what, size] <= 1 for size in sizes if size >= least)
