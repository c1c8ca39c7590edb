"""Peak memory of a piece of work, in a process of its own; Linux only, like /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEASURABLE = sys.platform.startswith("linux")


def printed(script: str, *arguments: str) -> float:
    """Run a script that prints `rise`, in a new process; return it rounded to whole MiB.

    Every block above 64 KiB goes back to the system when it is freed; memory that the
    allocator keeps for later would hide what the work needs. Pages come and go for other
    reasons too, so nothing finer than a MiB means anything.
    """
    command = [sys.executable, "-c", script, *arguments]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    return float(round(float(done.stdout)))


def rise(work: Callable[[], Any]) -> float:
    """Return the MiB by which the work's high-water mark exceeds what was resident before."""
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    kept = work()
    peak = kilobytes("VmHWM")
    del kept
    return (peak - before) / 1024


def kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))
