"""Processes killed while they save, 200 times: the file is one of those that were written."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from killed_writer import main, numbered

import optkit

KILLS = 200

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


def start(path: Path, number: int) -> tuple[int, int]:
    """Start a process that saves state after state; return it and the pipe it writes to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        with contextlib.suppress(BaseException):
            os.dup2(writing, 1)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.argv = ["killed_writer", str(path), str(number)]
            main()
        os._exit(1)
    os.close(writing)
    return child, reading


def kill_after(child: int, reading: int, seconds: float) -> list[int]:
    """Kill a process some time after its first file; return the numbers of all it finished."""
    said = os.read(reading, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 65536):
        said += more
    os.close(reading)
    return [int(line) for line in said.decode().split("\n")[:-1]]


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "file"
    optkit.save(numbered(0), path)
    took = time_to_save(path)
    leftovers = 0
    for turn in range(KILLS):
        first = 1000 * (turn + 1)
        finished = kill_after(*start(path, first), rng.uniform(0, 3 * took))
        optimizer = numbered(7)
        optkit.load(optimizer, path)
        number = optimizer.param_groups[0]["lr"]
        assert number in (finished[-1], finished[-1] + 1)  # renamed, and killed before it said so
        for p in optimizer.param_groups[0]["params"]:
            assert torch.all(optimizer.state[p]["momentum_buffer"] == number)
        found = len(list(tmp_path.iterdir()))
        assert found <= 2
        leftovers += found - 1
    assert leftovers > 0  # or none was killed while it wrote
    optkit.save(numbered(0), path)
    assert list(tmp_path.iterdir()) == [path]


def time_to_save(path: Path) -> float:
    begin = time.perf_counter()
    for _ in range(5):
        optkit.save(numbered(0), path)
    return (time.perf_counter() - begin) / 5
