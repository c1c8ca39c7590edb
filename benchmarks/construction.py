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
import {module}
print(time.perf_counter() - start)
"""
ALLOWED = 0.060


def measure() -> Iterator[dict[str, Any]]:
    """Yield the rows for the imports and for the constructors.

    Importing optkit imports optkit_core when a name of it is first used; both are measured.
    """
    for module in ("optkit", "optkit_core"):
        added = statistics.median(import_seconds(module) for _ in range(9))
        pair = (ALLOWED, added, added / ALLOWED)
        yield row(f"import {module} (torch: allowed)", 1, pair, "ms", 1.0)
    torch.set_num_threads(1)
    params = [torch.nn.Parameter(torch.zeros(64)) for _ in range(100)]
    for name, theirs in TORCH.items():
        pair = interleaved(
            lambda theirs=theirs: theirs(params),
            lambda name=name: optkit.create(name, params),
            300,
        )
        yield row(f"create {name}, 100 tensors", 1, pair, "us", 2.0)


def import_seconds(module: str) -> float:
    """Return how long an import takes in a process that has torch already."""
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    done = subprocess.run(command, capture_output=True, check=True)
    return float(done.stdout)
