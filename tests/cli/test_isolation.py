"""Work in child processes: whatever it does there, this process goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

pytest.importorskip("typer")

from optkit.cli.isolation import IsolatedOutcome, isolated

WORK: dict[str, Callable[[], Any]] = {
    "returns": lambda: 7,
    "prints": lambda: print("said"),
    "shell": lambda: subprocess.run("echo shouted >&2", shell=True, check=False) and None,
    "raises": lambda: 1 // 0,
    "quits": lambda: sys.exit("no license"),
    "asks": input,
    "ends": lambda: os._exit(3),
    "crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hangs": lambda: time.sleep(1e6),
    "after": lambda: "well",
}
EXPECTED = {
    "returns": IsolatedOutcome(7),
    "prints": IsolatedOutcome(output="said"),
    "shell": IsolatedOutcome(output="shouted"),
    "raises": IsolatedOutcome(failure="ZeroDivisionError: integer division or modulo by zero"),
    "quits": IsolatedOutcome(failure="SystemExit: no license"),
    "asks": IsolatedOutcome(failure="EOFError: EOF when reading a line"),
    "ends": IsolatedOutcome(failure="it ended the process (exit status 3)"),
    "crashes": IsolatedOutcome(failure="it crashed the process (SIGSEGV)"),
    "hangs": IsolatedOutcome(failure="it didn't end within 3 s"),
    "after": IsolatedOutcome("well"),
}


def work(name: str) -> Any:
    return WORK[name]()


@pytest.mark.slow
def test_each_item_has_its_outcome(capfd: Any) -> None:
    with isolated(work, list(WORK), 3.0) as outcomes:
        found = dict(zip(WORK, outcomes, strict=True))
    for name, outcome in found.items():
        if name == "crashes":
            assert "test_isolation.py" in outcome.output, "Python tells where it was"
            outcome = attrs.evolve(outcome, output="")
        assert outcome == EXPECTED[name], name
    assert capfd.readouterr() == ("", "")


def test_it_ends_with_the_block() -> None:
    with isolated(os_pid, [0, 1], 60.0) as outcomes:
        child = next(outcomes).value
    assert child != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def os_pid(item: int) -> int:
    if item:
        time.sleep(1e6)
    return os.getpid()
