"""The suite ``sharded``: DTensors beside plain shards, and beside torch on DTensors.

The ranks are started by torchrun, one thread each, and all of them measure the same things. Each
side's turn begins at a barrier, so that a side shares the machine with itself alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from benchmarks.sharded import elementwise, minimizing, whole_tensors

COUNTS = (2, 4)
PATIENCE = 600
"""Seconds after which ranks that say nothing are ended."""


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows for each number of ranks."""
    for count in COUNTS:
        yield from measured_by(count, repeats)


def measured_by(count: int, repeats: int) -> list[dict[str, Any]]:
    """Return the rows that so many ranks measure together."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "rows.json"
        ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        command = [sys.executable, *ranks, "-m", __name__, str(results), str(repeats)]
        settings = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, timeout=PATIENCE, env=settings)
        rows: list[dict[str, Any]] = json.loads(results.read_text("utf-8"))
    return rows


def rows_of(mesh: DeviceMesh, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield what the ranks of a mesh measure, on each of them, as `on_mesh` marks it."""
    yield from elementwise.measure(mesh, repeats)
    yield from whole_tensors.measure(mesh, max(3, repeats // 8))
    yield from minimizing.measure(mesh, max(3, repeats // 8))


def main(results: str, repeats: str) -> None:
    """Measure as one of the ranks; the first one writes what was found."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    marked = [
        {**row, "what": f"{mesh.size()} ranks, {row['what']}"}
        for row in rows_of(mesh, int(repeats))
    ]
    if dist.get_rank() == 0:
        Path(results).write_text(json.dumps(marked), "utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
