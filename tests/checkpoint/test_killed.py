"""Processes killed while they save, 200 times: the file is one of those that were written."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_writer import calls_to_save, numbered, save_for_ever

import optkit

KILLS = 100

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


def start(path: Path, number: int, killed_at: int | None = None) -> tuple[int, int]:
    """Start a process that saves state after state; return it and the pipe it writes to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        with contextlib.suppress(BaseException):
            said = os.fdopen(writing, "w")
            save_for_ever(path, number, killed_at, lambda n: print(n, file=said, flush=True))
        os._exit(1)
    os.close(writing)
    return child, reading


def ended(child: int, reading: int, said: bytes = b"") -> list[int]:
    """Wait for a process that is killed; return the numbers of all that it finished."""
    while more := os.read(reading, 65536):
        said += more
    os.close(reading)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return [int(line) for line in said.decode().split("\n")[:-1]]


def killed_after(seconds: float, path: Path, number: int) -> list[int]:
    """Kill a process some time after its first file."""
    child, reading = start(path, number)
    said = os.read(reading, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return ended(child, reading, said)


def check(path: Path, finished: list[int]) -> int:
    """Check that the file is that of a finished state; return how many others lie beside it."""
    optimizer = numbered(7)
    optkit.load(optimizer, path)
    number = optimizer.param_groups[0]["lr"]
    assert number in (finished[-1], finished[-1] + 1)  # renamed, and killed before it said so
    for p in optimizer.param_groups[0]["params"]:
        assert torch.all(optimizer.state[p]["momentum_buffer"] == number)
    beside = len(list(path.parent.iterdir())) - 1
    assert beside <= 1
    return beside


def check_that_all_is_removed(path: Path) -> None:
    optkit.save(numbered(0), path)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    """At any time, also in the middle of the system's work."""
    rng, path = random.Random(0), tmp_path / "file"
    took = time_to_save(path)
    for turn in range(KILLS):
        check(path, killed_after(rng.uniform(0, 3 * took), path, 1000 * (turn + 1)))
    check_that_all_is_removed(path)


def test_a_file_is_whole_wherever_its_writer_is_killed(tmp_path: Path) -> None:
    """At calls spread over all that a save does."""
    path = tmp_path / "file"
    optkit.save(numbered(0), path)
    calls = calls_to_save(path)
    leftovers = 0
    for turn in range(KILLS):
        started: Any = start(path, 1000 * (turn + 1), turn * calls // KILLS)
        leftovers += check(path, ended(*started))
    assert leftovers > 0  # or none was killed while it wrote
    check_that_all_is_removed(path)


def time_to_save(path: Path) -> float:
    begin = time.perf_counter()
    for _ in range(5):
        optkit.save(numbered(0), path)
    return (time.perf_counter() - begin) / 5
