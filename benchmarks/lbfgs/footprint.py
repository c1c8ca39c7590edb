"""Peak memory of a minimization, in copies of the parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.lbfgs.sides import makers
from benchmarks.lbfgs.table import Goal, row
from benchmarks.processes import MEASURABLE, printed

SIZE, HISTORY = 1_000_000, 10
COPY = SIZE * 8 / 2**20
LIMIT = 2 * HISTORY + 6
STEP = """
import sys
import torch
from benchmarks.lbfgs.bowl import Bowl
from benchmarks.lbfgs.sides import Side, makers
from benchmarks.processes import rise
name, size, history = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
small = Bowl(3000)
small(small.start())
Side(makers()[name], small.start(), small, history, history + 5).step()
bowl = Bowl(size)
start = bowl.start()
bowl(start)
print(rise(lambda: Side(makers()[name], start, bowl, history, history + 5).step()))
"""


def measure() -> Iterator[dict[str, Any]]:
    """Yield one row: what the first step needs beyond the parameters and their gradient.

    The step goes on until the history is full. Its closure allocates nothing, and its gradient
    is there before; so is what a first step loads, whatever its size. Linux only.
    """
    if not MEASURABLE:
        return
    copies = {name: peak(name) / COPY for name in makers()}
    judged = next(copies[name] for name in copies if name != "torch")
    goal = Goal(judged, LIMIT)
    yield row(f"peak memory, n={SIZE:.0e}, m={HISTORY}", "copies", copies, goal)


def peak(name: str) -> float:
    """Return the MiB that the optimizer of this name needs, in a process of its own."""
    return printed(STEP, name, str(SIZE), str(HISTORY))
