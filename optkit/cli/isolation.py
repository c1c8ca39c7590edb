"""Work in child processes: what crashes, hangs, exits or prints there hurts nobody here.

One child works through a list of items. When it ends or hangs, the item that it was at has
failed, and another child goes on with those behind it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import attrs

Item = TypeVar("Item")

# A forked child has torch already; elsewhere than on Linux system libraries don't survive a fork.
METHOD = "fork" if sys.platform == "linux" else "spawn"
START = 120.0
"""Seconds within which a child is ready; one that isn't forked has to import torch first."""

GRACE = 5.0
"""Seconds within which a process has ended that is ending."""

LONGEST_OUTPUT = 2000
"""How many characters are kept of what an item prints."""


@attrs.frozen
class IsolatedOutcome:
    """What came of one item.

    Args:
        value: what the work returned; None where it failed.
        failure: why it failed, ``""`` where it didn't.
        output: what it printed, on either stream.
    """

    value: Any = None
    failure: str = ""
    output: str = ""


@contextlib.contextmanager
def isolated(
    work: Callable[[Item], Any], items: Sequence[Item], seconds: float
) -> Iterator[Iterator[IsolatedOutcome]]:
    """Start to work on items in a child process, and give an iterator over their outcomes.

    Args:
        work: called with each item; what it returns must be picklable.
        items: what is worked on, in this order.
        seconds: how long one item may take.
    """
    with tempfile.TemporaryDirectory(prefix="optkit-") as folder:
        child = _Child(work, items, seconds, Path(folder))
        try:
            yield child.outcomes()
        finally:
            child.end()


class _Child:
    """The child process of the moment."""

    def __init__(
        self, work: Callable[[Item], Any], items: Sequence[Item], seconds: float, folder: Path
    ) -> None:
        self._work, self._items, self._seconds, self._folder = work, items, seconds, folder
        self._started = 0
        self._start(0)

    def outcomes(self) -> Iterator[IsolatedOutcome]:
        """Yield what came of each item, as it comes."""
        for position in range(len(self._items)):
            try:
                outcome, end = self._receive(self._seconds)
                yield attrs.evolve(outcome, output=self._output(end))
            except (EOFError, OSError) as error:
                if not isinstance(error, TimeoutError):
                    self._process.join(GRACE)  # its end of the pipe is closed: it is ending
                yield IsolatedOutcome(failure=self._how_it_ended(), output=self._output())
                self.end()
                if position + 1 < len(self._items):
                    self._start(position + 1)

    def end(self) -> None:
        """End the process, and what it has started."""
        if self._connection.closed:
            return
        if hasattr(os, "killpg") and self._process.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self, first: int) -> None:
        context: Any = multiprocessing.get_context(METHOD)
        self._started += 1
        self._printed = self._folder / f"printed{self._started}"
        self._printed.touch()
        self._read = 0
        self._connection, theirs = context.Pipe(duplex=False)
        given = (self._work, self._items[first:], self._printed, theirs)
        self._process = context.Process(target=_work_through, args=given)
        with warnings.catch_warnings():
            # Python warns where threads run; those of torch's libraries look after themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()
        self._receive(START)

    def _receive(self, seconds: float) -> Any:
        if not self._connection.poll(seconds):
            raise TimeoutError
        return self._connection.recv()

    def _how_it_ended(self) -> str:
        status = self._process.exitcode
        if status is None:
            return f"it didn't end within {self._seconds:g} s"
        if status < 0:
            return f"it crashed the process ({signal.Signals(-status).name})"
        return f"it ended the process (exit status {status})"

    def _output(self, end: int | None = None) -> str:
        """Return what has been printed since this was last asked, up to a size of the file."""
        with self._printed.open("rb") as file:
            file.seek(self._read)
            printed = file.read(-1 if end is None else end - self._read)
        self._read += len(printed)
        return printed.decode(errors="replace").strip()[:LONGEST_OUTPUT]


def _work_through(
    work: Callable[[Any], Any], items: Sequence[Any], printed: Path, connection: Connection
) -> None:
    """Send what comes of each item; this is what the child process does."""
    _detach(printed)
    connection.send("ready")
    for item in items:
        try:
            outcome = IsolatedOutcome(work(item))
        except BaseException as error:  # `sys.exit` too
            outcome = IsolatedOutcome(failure=f"{type(error).__name__}: {error}")
        sys.stdout.flush()
        connection.send((outcome, printed.stat().st_size))


def _detach(printed: Path) -> None:
    """Leave the terminal: nothing is read from it, and what is printed goes to a file."""
    if hasattr(os, "setsid"):
        os.setsid()
    # Open as long as the process: by their numbers too, for what isn't Python.
    stdin, stdout = open(os.devnull), open(printed, "a", buffering=1, errors="replace")  # noqa: SIM115
    for stream, numbers in ((stdin, (0,)), (stdout, (1, 2))):
        for number in numbers:
            os.dup2(stream.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = stdin, stdout, stdout
    faulthandler.enable(stdout)  # which tells at which line it crashes
