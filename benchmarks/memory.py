"""Peak memory of a step beyond parameters, gradients and state, each in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.models import FLAG, TORCH
from benchmarks.pairs import row

STEP = """
import sys
import torch, optkit
from benchmarks.models import FLAG, TORCH, parameters
side, name, implementation = sys.argv[1:]
torch.set_num_threads(1)
params = parameters("16 large")
if side == "torch":
    optimizer = TORCH[name](params, foreach=FLAG[implementation])
else:
    optimizer = optkit.create(name, params, implementation=implementation)

def kilobytes(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))

optimizer.step()
open("/proc/self/clear_refs", "w").write("5")
before = kilobytes("VmRSS")
optimizer.step()
print((kilobytes("VmHWM") - before) / 1024)
"""


def measure() -> Iterator[dict[str, Any]]:
    """Yield a row for each algorithm and implementation; Linux only, like /proc."""
    if not sys.platform.startswith("linux"):
        return
    for name in TORCH:
        for implementation in FLAG:
            theirs, ours = (peak(side, name, implementation) for side in ("torch", "optkit"))
            pair = (theirs, ours, ours / max(theirs, 1.0))
            what = f"peak memory {name} {implementation} 16 large"
            yield row(what, 1, pair, "MiB", 1.0)


def peak(side: str, name: str, implementation: str) -> float:
    """Return the MiB by which a step's high-water mark exceeds what was resident before.

    Every block above 64 KiB goes back to the system when it is freed; memory that the
    allocator keeps for later would hide what the second step needs. Pages come and go for
    other reasons too, so the figure is rounded to whole MiB.
    """
    command = [sys.executable, "-c", STEP, side, name, implementation]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    return float(round(float(done.stdout)))
