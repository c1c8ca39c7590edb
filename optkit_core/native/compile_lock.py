"""The lock of a cache directory: one process at a time compiles, and tells those that wait.

The system itself frees a lock (``flock``) whose process dies, so that none is ever left behind;
a file that merely exists would be. The lock's file is never removed: a process could then hold
the lock of the file that was, and another one that of the file that is. In it stands who holds
the lock, and what was refused to whom held it before.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from optkit_core.errors import UnavailableError
from optkit_core.native import cache_dirs, compile_failures

POLL_INTERVAL = 0.02
"""Seconds between two attempts to get the lock."""

GRACE = 10.0
"""Seconds that a lock may be held beyond the compiler's limit, for all that is done besides."""


class CompileLock:
    """The lock while this process holds it.

    Args:
        file: the lock's file, locked.
        waited: whether another process held it before.
    """

    def __init__(self, file: IO[str], waited: bool) -> None:
        """Take over what the process before has noted, if this one waited for it."""
        self._file = file
        # Without having waited: what failed at an earlier time is tried again.
        self._previous = _read_note(file) if waited else {}
        self._write_note()

    def raise_if_refused(self, *subjects: str) -> None:
        """Raise if the process that this one waited for was refused one of the subjects.

        Raises:
            UnavailableError: with its reason, which the next process learns too.
        """
        subject = self._previous.get("subject")
        if subject in subjects:
            self.remember_refusal(subject, str(self._previous.get("reason")))
            compile_failures.raise_if_refused(subject)

    def remember_refusal(self, subject: str, reason: str) -> None:
        """Remember a refusal, in this process and for the one that gets the lock next.

        Args:
            subject: what was asked: a compiler, or for a library.
            reason: what came of it.
        """
        compile_failures.remember(subject, reason)
        self._write_note(subject=subject, reason=reason)

    def _write_note(self, **facts: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        # A number that nobody had before tells those that wait that their time limit begins anew.
        json.dump({"holder": secrets.token_hex(8), **facts}, self._file)
        self._file.flush()


@contextmanager
def hold(directory: Path, timeout: float) -> Iterator[CompileLock]:
    """Hold a directory's lock, once no other process does.

    Args:
        directory: that of compiled libraries.
        timeout: how many seconds a compiler may take.

    Raises:
        UnavailableError: another process doesn't give the lock back.
        OSError: the directory knows no locks.
    """
    # "w+" would empty the note of whoever holds the lock.
    with (directory / "lock").open("a+") as file:
        waited = _wait(file, directory, timeout + GRACE)
        try:
            yield CompileLock(file, waited)
        finally:
            _unlock(file)


@contextmanager
def try_hold(directory: Path) -> Iterator[bool]:
    """Hold a directory's lock if it is free, and say whether it was."""
    with (directory / "lock").open("a+") as file:
        is_held = _try_lock(file)
        try:
            yield is_held
        finally:
            if is_held:
                _unlock(file)


def _wait(file: IO[str], directory: Path, timeout: float) -> bool:
    """Wait for the lock; return whether anybody held it.

    The time limit is that of one holder, however many come before this process.
    """
    holder, begin, waited = "", time.monotonic(), False
    # Polled, since flock itself knows no time limit.
    while not _try_lock(file):
        waited = True
        # While a note is being written there is none to read: the clock goes on as it was.
        current = _read_note(file).get("holder", holder)
        if current != holder:
            holder, begin = current, time.monotonic()
        if time.monotonic() - begin > timeout:
            compile_failures.remember(str(directory), _timeout_reason(directory, timeout))
            compile_failures.raise_if_refused(str(directory))
        time.sleep(POLL_INTERVAL)
    return waited


def _timeout_reason(directory: Path, timeout: float) -> str:
    return (
        f"another process compiles in {directory} and hasn't finished in {timeout:g} s; end it, "
        f"or name another directory in {cache_dirs.VARIABLE}"
    )


def _read_note(file: IO[str]) -> dict[str, Any]:
    """Return what the lock's file says; nothing while it is being written, or if it is old."""
    file.seek(0)
    try:
        note = json.loads(file.read())
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _try_lock(file: IO[str]) -> bool:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except ImportError as error:
        raise UnavailableError("nothing is compiled on systems without fcntl's locks") from error
    return True


def _unlock(file: IO[str]) -> None:
    """Give the lock back, also where a child that was forked meanwhile has the file open.

    To close the file wouldn't do: ``flock`` belongs to the open file, which the child shares.
    """
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)
