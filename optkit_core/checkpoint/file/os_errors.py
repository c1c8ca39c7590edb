"""What the operating system has to say about a file, as one clear error."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from optkit_core.errors import (
    CheckpointFileError,
    CheckpointIsADirectoryError,
    CheckpointNotFoundError,
    CheckpointPermissionError,
    CheckpointSystemError,
)

ERRORS = {
    FileNotFoundError: CheckpointNotFoundError,
    PermissionError: CheckpointPermissionError,
    IsADirectoryError: CheckpointIsADirectoryError,
}


@contextlib.contextmanager
def translate_errors(path: str | os.PathLike[str], doing: str) -> Iterator[None]:
    """Turn an OSError into one that names the file and is optkit's too.

    Args:
        path: the file.
        doing: what can't be done with it: ``"read"`` or ``"written"``.

    Raises:
        CheckpointFileError: of the same builtin kind, with the same ``errno``.
    """
    try:
        yield
    except CheckpointFileError:
        raise
    except OSError as error:
        kind = ERRORS.get(type(error), CheckpointSystemError)
        reason = error.strerror or str(error)
        raised = kind(f"{os.fspath(path)} can't be {doing}: {reason}.")
        raised.errno, raised.filename = error.errno, os.fspath(path)
        raise raised from error


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[int]:
    """Give a descriptor to read an ordinary file from; nothing that could block is opened.

    Raises:
        CheckpointFileError: it isn't one, or can't be read.
    """
    with translate_errors(path, "read"):
        # Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            require_regular(path, os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)


def require_regular(path: str | os.PathLike[str], status: os.stat_result) -> None:
    """Raise unless `status` describes an ordinary file.

    Args:
        path: the file, for the message.
        status: what ``os.stat`` says of it.
    """
    if stat.S_ISDIR(status.st_mode):
        raise CheckpointIsADirectoryError(f"{os.fspath(path)} is a directory; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointFileError(f"{os.fspath(path)} isn't an ordinary file; name one.")
