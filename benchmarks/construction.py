"""Importing optkit beside importing torch, and creating an optimizer of 100 tensors."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import torch

import optkit
from benchmarks.models import TORCH
from benchmarks.pairs import interleaved, row

IMPORT = """
import time
import torch
start = time.perf_counter()
import optkit
print(time.perf_counter() - start)
"""


def measure() -> Iterator[dict[str, Any]]:
    """Yield the rows for the import and for the constructors."""
    added = statistics.median(import_seconds() for _ in range(7))
    yield row(
        "import optkit (torch: the 60 ms allowed)", 1, (0.060, added, added / 0.060), "ms", 1.0
    )
    torch.set_num_threads(1)
    params = [torch.nn.Parameter(torch.zeros(64)) for _ in range(100)]
    for name, theirs in TORCH.items():
        pair = interleaved(
            lambda theirs=theirs: theirs(params),
            lambda name=name: optkit.create(name, params),
            300,
        )
        yield row(f"create {name}, 100 tensors", 1, pair, "us", 2.0)


def import_seconds() -> float:
    """Return how long ``import optkit`` takes in a process that has torch already."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True)
    return float(done.stdout)
