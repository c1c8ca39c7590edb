"""Turns: one process at a time compiles, and those that wait learn why it couldn't.

Nobody asks a compiler twice that gave up or never ended: what it refused is remembered in this
process, and stands in the lock's file for the process that has the next turn.
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
from optkit_core.native import cache_dirs

PAUSE = 0.02
"""Seconds between two looks at the lock."""

GRACE = 10.0
"""Seconds that a turn may last beyond the compiler's limit, for all that isn't the compiler's."""

_refused: dict[str, str] = {}


class Turn:
    """The right to compile in a directory.

    Args:
        file: the lock's file, locked.
        waited: whether another process had it before.
    """

    def __init__(self, file: IO[str], waited: bool) -> None:
        """Take over what the process before has noted, if this one waited for it."""
        self._file = file
        self._before = _noted(file) if waited else {}
        self._note()

    def check(self, *subjects: str) -> None:
        """Raise if the process that this one waited for was refused one of the subjects.

        Raises:
            UnavailableError: with its reason, which the next process learns too.
        """
        subject = self._before.get("subject")
        if subject in subjects:
            self.refuse(subject, str(self._before.get("reason")))
            check(subject)

    def refuse(self, subject: str, reason: str) -> None:
        """Remember a refusal, in this process and for the one that has the next turn."""
        refuse(subject, reason)
        self._note(subject=subject, reason=reason)

    def _note(self, **facts: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        json.dump({"turn": secrets.token_hex(8), **facts}, self._file)
        self._file.flush()


@contextmanager
def turn(folder: Path, patience: float) -> Iterator[Turn]:
    """Compile in a directory while no other process does; one that dies gives its turn back.

    Args:
        folder: the directory.
        patience: how many seconds a compiler may take.

    Raises:
        UnavailableError: another process doesn't give its turn back.
        OSError: the directory knows no locks.
    """
    with (folder / "lock").open("a+") as file:
        waited = _wait(file, folder, patience + GRACE)
        try:
            yield Turn(file, waited)
        finally:
            _unlock(file)


@contextmanager
def unless_taken(folder: Path) -> Iterator[bool]:
    """Keep others from compiling in a directory, and say whether that is so: somebody may."""
    with (folder / "lock").open("a+") as file:
        is_mine = _locked(file)
        try:
            yield is_mine
        finally:
            if is_mine:
                _unlock(file)


def refuse(subject: str, reason: str) -> None:
    """Remember in this process why there is no use in asking again.

    Args:
        subject: what was asked: a compiler, for a library, or to wait for a directory.
        reason: what came of it.
    """
    _refused[subject] = reason


def check(*subjects: str) -> None:
    """Raise if one of the subjects was refused before.

    Raises:
        UnavailableError: with the reason of then.
    """
    for subject in subjects:
        if subject in _refused:
            raise UnavailableError(_refused[subject])


def forget() -> None:
    """Ask every compiler again."""
    _refused.clear()


def _wait(file: IO[str], folder: Path, patience: float) -> bool:
    """Wait for the lock, however many have it in turn; return whether anybody had it."""
    holder, begin, waited = "", time.monotonic(), False
    while not _locked(file):
        waited = True
        found = _noted(file).get("turn", holder)
        if found != holder:
            holder, begin = found, time.monotonic()
        if time.monotonic() - begin > patience:
            refuse(str(folder), _impatience(folder, patience))
            check(str(folder))
        time.sleep(PAUSE)
    return waited


def _impatience(folder: Path, patience: float) -> str:
    return (
        f"another process compiles in {folder} and hasn't finished in {patience:g} s; end it, "
        f"or name another directory in {cache_dirs.VARIABLE}"
    )


def _noted(file: IO[str]) -> dict[str, Any]:
    """Return what the lock's file says; nothing while it is being written, or if it is old."""
    file.seek(0)
    try:
        found = json.loads(file.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _locked(file: IO[str]) -> bool:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except ImportError as error:
        raise UnavailableError("nothing is compiled on systems without fcntl's locks") from error
    return True


def _unlock(file: IO[str]) -> None:
    """Give the lock back, also where a child that was forked meanwhile has the file open."""
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)
