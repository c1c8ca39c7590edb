"""Replacing a file as a whole: whoever reads it finds the old content or the new one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from optkit_core.checkpoint.file.os_errors import require_regular, translate_errors

SUFFIX = ".optkit-tmp"
RANDOM_DIGITS = 8
MAX_PREFIX = 50
"""A temporary file is called ``.<at most 50 letters of the file's name>.<8 digits>.optkit-tmp``."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[int]:
    """Give a descriptor to write to; its content takes the path's place when the block ends.

    The content is written beside the path, brought to the disk, and renamed. If the block
    raises, the path stays as it was. A symbolic link stays one; what it points to is replaced.
    The permissions are those of the file that is replaced, or of any new file.

    Args:
        path: a file, or where one is to be.

    Raises:
        CheckpointFileError: it can't be written; also of the builtin kind.
    """
    with translate_errors(path, "written"):
        target = Path(os.path.realpath(path))
        mode = _mode(target)
        _remove_abandoned(target)
        temporary, descriptor = _open_beside(target, mode)
    try:
        yield descriptor
        with translate_errors(path, "written"):
            # Before the rename: else a crash can leave the new name with no content.
            os.fsync(descriptor)
            os.replace(temporary, target)
            # The rename itself lasts only once the directory is on the disk.
            _sync_directory(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _mode(target: Path) -> int | None:
    """Return the permissions of the file that is to be replaced, None if there is none."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    require_regular(target, status)
    if not os.access(target, os.W_OK):
        raise PermissionError(f"{target} is write-protected")
    return stat.S_IMODE(status.st_mode)


def _open_beside(target: Path, mode: int | None) -> tuple[Path, int]:
    """Open a new file beside `target`, locked for as long as it is open."""
    while True:
        temporary = target.with_name(
            f"{_prefix(target)}{secrets.token_hex(RANDOM_DIGITS // 2)}{SUFFIX}"
        )
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        _lock(descriptor)
        if mode is not None:
            os.fchmod(descriptor, mode)
        # Between opening and locking, another process may have taken it for an abandoned one.
        if temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove what processes have left behind that were killed while they wrote."""
    pattern = re.compile(
        f"{re.escape(_prefix(target))}[0-9a-f]{{{RANDOM_DIGITS}}}{re.escape(SUFFIX)}"
    )
    with os.scandir(target.parent) as entries:
        names = [e.name for e in entries if pattern.fullmatch(e.name)]
    for name in names:
        with contextlib.suppress(OSError):
            _remove_unlocked(target.with_name(name))


def _remove_unlocked(path: Path) -> None:
    # A link or a FIFO that bears the name is neither followed nor waited for.
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if _lock(descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file; False if somebody else has, or if its file system knows no locks."""
    try:
        # The system releases it when a process is killed, so a file without one is abandoned.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _prefix(target: Path) -> str:
    return f".{target.name[:MAX_PREFIX]}."


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
