"""Operations that an iteration dispatches, and how often it waits for a value from the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.lbfgs.sides import Make, makers, on_chain
from benchmarks.lbfgs.table import Goal, row

SIZE, ITERATIONS = 1_000, 20
READS = {"tolist", "numpy", "cpu", "__array__"}
"""Tensor methods that wait for a GPU, and dispatch nothing that could be counted on a CPU."""


class Operations(TorchDispatchMode):
    """Counts what is dispatched; `aten::_local_scalar_dense` is what `item` and `bool` come to."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.reads = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Reads(TorchFunctionMode):
    """Counts the methods that read a whole tensor at once."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += getattr(func, "__name__", "") in READS
        return func(*args, **(kwargs or {}))


def measure() -> Iterator[dict[str, Any]]:
    """Yield the rows for torch's usual history in benchmarks, and for its default."""
    for history in (10, 100):
        counts = {name: per_iteration(make, history) for name, make in makers().items()}
        judged = next(name for name in counts if name != "torch")
        operations = {name: each[0] for name, each in counts.items()}
        yield row(f"dispatches per iteration, m={history}", "operations", operations)
        reads = {name: each[1] for name, each in counts.items()}
        allowed = counts[judged][2] + 1
        yield row(f"reads per iteration, m={history}", "reads", reads, Goal(reads[judged], allowed))


def per_iteration(make: Make, history: int) -> tuple[float, float, float]:
    """Return operations, reads by the host, and closure calls per iteration; history full.

    What the closure does is counted by itself, and taken off.
    """
    side = on_chain(make, SIZE, history, ITERATIONS)
    each = counted(side.closure)
    before = side.clock.evaluations
    every = counted(side.step)
    calls = side.clock.evaluations - before
    operations, reads = (all_ - calls * one for all_, one in zip(every, each, strict=True))
    return operations / ITERATIONS, reads / ITERATIONS, calls / ITERATIONS


def counted(work: Callable[[], Any]) -> tuple[int, int]:
    """Return how many operations the work dispatches, and how often it reads a value."""
    with Operations() as operations, Reads() as reads:
        work()
    return operations.count, operations.reads + reads.count
