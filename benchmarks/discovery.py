"""Finding what is installed: optkit's scan beside that of importlib.metadata."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from benchmarks.pairs import interleaved, row
from optkit_core.plugins import installed

DISTRIBUTIONS = 200
ALLOWED = 0.010
PROCESSES = 9

METADATA = "Metadata-Version: 2.4\nName: {name}\nVersion: 1.{number}\n" + (
    "Classifier: Programming Language :: Python :: 3\n" * 10
    + "Requires-Dist: torch>=2\n\n"
    + "What a README says about a library, in a line of usual length.\n" * 100
)
PROGRAM = "[console_scripts]\nprogram-{number} = package_{number}:main\n"
PLUGIN = "[optkit.algorithms]\nalgorithm_{number} = package_{number}.module:Algorithm\n"

FIRST = """
import sys, time, torch
from importlib.metadata import entry_points
from optkit_core.plugins import installed
sys.path[:] = [sys.argv[1]]
calls = [lambda: entry_points(group="optkit.algorithms"), installed.look_up]
start = time.process_time()
calls[int(sys.argv[2])]()
print(time.process_time() - start)
"""


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield rows for scans of 200 distributions, of which 50 or none offer plugins.

    Half of the others have programs as entry points, and the rest nothing.
    """
    for plugins in (50, 0):
        with tempfile.TemporaryDirectory() as folder:
            install(Path(folder), plugins)
            what = f"scan {DISTRIBUTIONS} distributions, {plugins} with plugins"
            with path(folder):
                # Of the processor: a scan is as long as that where nobody else has it.
                pair = interleaved(bare, installed.look_up, repeats, time.process_time)
            yield row(f"{what}, entry_points()", 1, pair, "ms", None)
            yield row(f"{what}, allowed", 1, (ALLOWED, pair[1], pair[1] / ALLOWED), "ms", 1.0)
            first = first_in_process(folder)
            yield row(f"{what}, entry_points(), first in a process", 1, first, "ms", None)


def bare() -> Any:
    """Scan for one group as everybody does."""
    return entry_points(group="optkit.algorithms")


def install(folder: Path, plugins: int) -> None:
    """Write the metadata of distributions into a folder."""
    for number in range(DISTRIBUTIONS):
        name = f"some-library-{number}"
        info = folder / f"{name.replace('-', '_')}-1.{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA.format(name=name, number=number))
        (info / "RECORD").write_text("")
        text = PLUGIN if number < plugins else PROGRAM if number % 2 else ""
        if text:
            (info / "entry_points.txt").write_text(text.format(number=number))


@contextmanager
def path(folder: str) -> Iterator[None]:
    """Have nothing installed but what is in a folder."""
    before = sys.path[:]
    sys.path[:] = [folder]
    try:
        yield
    finally:
        sys.path[:] = before


def first_in_process(folder: str) -> tuple[float, float, float]:
    """Return the median seconds of the first scan in a process of both, and their ratio."""
    theirs, ours = [], []
    for _ in range(PROCESSES):
        theirs.append(seconds(folder, 0))
        ours.append(seconds(folder, 1))
    pairs = zip(theirs, ours, strict=True)
    ratio = statistics.median(mine / other for other, mine in pairs)
    return statistics.median(theirs), statistics.median(ours), ratio


def seconds(folder: str, which: int) -> float:
    command = [sys.executable, "-c", FIRST, folder, str(which)]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)
