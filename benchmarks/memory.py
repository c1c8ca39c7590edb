"""Peak memory of a step beyond parameters, gradients and state, each in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.models import FLAG, TORCH
from benchmarks.pairs import row
from benchmarks.processes import MEASURABLE, printed

STEP = """
import sys
import torch, optkit
from benchmarks.models import FLAG, TORCH, parameters
from benchmarks.processes import rise
side, name, implementation = sys.argv[1:]
torch.set_num_threads(1)
params = parameters("16 large")
if side == "torch":
    optimizer = TORCH[name](params, foreach=FLAG[implementation])
else:
    optimizer = optkit.create(name, params, implementation=implementation)

optimizer.step()
print(rise(optimizer.step))
"""


def measure() -> Iterator[dict[str, Any]]:
    """Yield a row for each algorithm and implementation; Linux only, like /proc."""
    if not MEASURABLE:
        return
    for name in TORCH:
        for implementation in FLAG:
            theirs, ours = (peak(side, name, implementation) for side in ("torch", "optkit"))
            pair = (theirs, ours, ours / max(theirs, 1.0))
            what = f"peak memory {name} {implementation} 16 large"
            yield row(what, 1, pair, "MiB", 1.0)


def peak(side: str, name: str, implementation: str) -> float:
    """Return the MiB that a step needs beyond what was resident before."""
    return printed(STEP, side, name, implementation)
