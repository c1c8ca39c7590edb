"""Commands with a limit of time: what they start goes with them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

GRACE = 5.0
"""Seconds in which a command that is interrupted may write down what it has."""


class Ended(NamedTuple):
    """How a command ended.

    Args:
        code: what it returned; negative, the signal that ended it.
        seconds: how long it ran.
        is_late: whether it was ended because its time was up.
    """

    code: int
    seconds: float
    is_late: bool

    @property
    def is_well(self) -> bool:
        """Whether it ended by itself, and without a complaint."""
        return self.code == 0 and not self.is_late


def run(
    command: Sequence[str | Path],
    log: Path,
    seconds: float,
    cwd: Path,
    environment: Mapping[str, str],
    grace: float = GRACE,
) -> Ended:
    """Run a command in a process group of its own, and end the whole group with it.

    Args:
        command: the program and its arguments.
        log: the file to which its output is added.
        seconds: after which it is interrupted.
        cwd: where it runs.
        environment: its variables.
        grace: how long it has from then on, until it is killed.
    """
    begin = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=environment,
            start_new_session=True,
            preexec_fn=_heed_interrupts,
        )
    is_late = False
    try:
        is_late = not _has_ended(process, seconds)
        if is_late:
            os.killpg(process.pid, signal.SIGINT)
            _has_ended(process, grace)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return Ended(code, time.monotonic() - begin, is_late)


def _heed_interrupts() -> None:
    """Undo what a shell does to whatever it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the end of a process, and leave its number taken: it is its group's too."""
    end = time.monotonic() + seconds
    flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while os.waitid(os.P_PID, process.pid, flags) is None:
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True
