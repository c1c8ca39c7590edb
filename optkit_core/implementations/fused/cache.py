"""The cache of compiled kernels: one directory of the user's own, safe to share and to lose.

A library's file carries a checksum behind its last byte, is written beside its place and
renamed into it, and is compiled by one process while others wait. Its name says for which
source, processor and compiler it holds. Without a compiler, those of any compiler serve.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import compiler

VARIABLE = "OPTKIT_CACHE_DIR"
SUFFIX = ".so"
DIGEST = 32
"""Bytes of the checksum at the end of each file."""


def library(source: str) -> Path:
    """Return the compiled library of a source, from the cache or compiled now.

    Raises:
        UnavailableError: it isn't there and can't be compiled, or no directory can be used.
    """
    folder = directory()
    try:
        path = folder / f"{stem(source)}-{_short(compiler.identity())}{SUFFIX}"
        if not is_whole(path):
            _build(source, path)
    except UnavailableError:
        others = filter(is_whole, sorted(folder.glob(f"{stem(source)}-*{SUFFIX}")))
        other = next(others, None)
        if other is None:
            raise
        return other
    return path


def stem(source: str) -> str:
    """Return the part of a file's name that stands for the source, flags and processor."""
    flags = " ".join((*compiler.FLAGS, *compiler.target()))
    return f"{_short(source)}-{_short(flags + compiler.processor())}"


def is_whole(path: Path) -> bool:
    """Return whether a file is there and ends with the checksum of what stands before."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]


def files() -> list[Path]:
    """Return the files of all compiled libraries, oldest first."""
    found = (path for path in directory().iterdir() if path.suffix == SUFFIX)
    return sorted(found, key=lambda path: path.stat().st_mtime)


def clear() -> int:
    """Remove every compiled library, and return how many there were."""
    found = files()
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def directory() -> Path:
    """Return the cache's directory, made if need be: ``OPTKIT_CACHE_DIR`` or the user's own.

    Raises:
        UnavailableError: it can't be used; says why, and the way out.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return _own(Path(named))
    reasons = []
    for candidate in _candidates():
        try:
            return _own(candidate)
        except UnavailableError as error:
            reasons.append(str(error))
    raise UnavailableError(f"no directory for compiled kernels: {'; '.join(reasons)}")


def _candidates() -> Iterator[Path]:
    base = os.environ.get("XDG_CACHE_HOME", "")
    yield (Path(base) if base else Path("~/.cache").expanduser()) / "optkit" / "kernels"
    yield Path(tempfile.gettempdir()) / f"optkit-kernels-{_user()}"


def _own(folder: Path) -> Path:
    """Return a directory that nobody else can write to, and that isn't somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError as error:
        raise UnavailableError(
            f"{folder} can't be made: {error.strerror}; name another in {VARIABLE}"
        ) from error
    if facts.st_uid not in (_user(), 0):
        raise UnavailableError(f"{folder} belongs to another user; name another in {VARIABLE}")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnavailableError(
            f"others can write to {folder}; take that right away, or name another in {VARIABLE}"
        )
    return folder


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _build(source: str, path: Path) -> None:
    """Compile a source to a file, unless another process has done so meanwhile."""
    try:
        with _alone(path.parent):
            if not is_whole(path):
                _write(source, path)
    except OSError as error:
        raise UnavailableError(
            f"{path.parent} can't be written to: {error.strerror}; name another in {VARIABLE}"
        ) from error


def _write(source: str, path: Path) -> None:
    handle, name = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        compiler.compile_to(source, beside)
        content = beside.read_bytes()
        beside.write_bytes(content + hashlib.sha256(content).digest())
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time compile; a process that dies gives its turn back."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
