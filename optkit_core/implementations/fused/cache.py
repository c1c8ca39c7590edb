"""The cache of compiled kernels: one directory of the user's own, safe to share and to lose.

A library is written beside its place and renamed into it, and is compiled by one process
while others wait. Its name says for which source, processor and compiler it holds. Without a
compiler, those of any compiler serve, and those that were built for any processor.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import compiler, folders, sealed

SUFFIX = ".so"
UNFINISHED = ".tmp"


def library(source: str, title: str = "", portable: bool = False) -> Path:
    """Return the compiled library of a source, from the cache or compiled now.

    Args:
        source: the C++ text.
        title: what it is, for `optkit kernels list`.
        portable: whether it is to run on other processors than this one too.

    Raises:
        UnavailableError: it isn't there and can't be compiled, or no directory can be used.
    """
    target = compiler.PORTABLE if portable else compiler.NATIVE
    try:
        name = f"{_stem(source, target)}-{_short(compiler.identity())}{SUFFIX}"
        label = f"{title}\n{shlex.join(compiler.command())}"
        found = _found(name) or _build(source, label, target, name)
    except UnavailableError:
        targets = [target for target in compiler.TARGETS if target.runs_here()]
        others = (_found(f"{_stem(source, target)}-*{SUFFIX}") for target in targets)
        other = next(filter(None, others), None)
        if other is None or portable:
            raise
        return other
    return found


def files() -> list[Path]:
    """Return the files of all compiled libraries, oldest first."""
    return sorted(_all(SUFFIX), key=lambda path: path.stat().st_mtime)


def clear() -> int:
    """Remove every compiled library, and return how many there were.

    Raises:
        UnavailableError: one can't be removed; says why.
    """
    found = _all(SUFFIX)
    try:
        for path in found:
            path.unlink(missing_ok=True)
        for path in _all(UNFINISHED):
            shutil.rmtree(path)
    except OSError as error:
        raise UnavailableError(f"{path} can't be removed: {error.strerror}") from error
    return len(found)


def _all(suffix: str) -> list[Path]:
    return [path for folder in folders.readable() for path in folder.glob(f"*{suffix}")]


def _found(pattern: str) -> Path | None:
    paths = (path for folder in folders.readable() for path in sorted(folder.glob(pattern)))
    return next(filter(sealed.is_whole, paths), None)


def _stem(source: str, target: compiler.Target) -> str:
    """Return the part of a file's name that stands for the source, flags and processor."""
    flags = " ".join((*compiler.FLAGS, *target.flags))
    return f"{_short(source)}-{_short(flags + target.processor())}"


def _build(source: str, label: str, target: compiler.Target, name: str) -> Path:
    """Compile a source to a file, unless another process has done so meanwhile."""
    folder = folders.writable()
    path = folder / name
    try:
        with _alone(folder):
            if not sealed.is_whole(path):
                _write(source, label, target.flags, path)
    except OSError as error:
        raise UnavailableError(folders.complaint_of(folder, error)) from error
    return path


def _write(source: str, label: str, flags: Sequence[str], path: Path) -> None:
    """Write a library; an unfinished one can only be that of a process that died."""
    for left in path.parent.glob(f"*{UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(suffix=UNFINISHED, dir=path.parent) as beside:
        made = Path(beside) / "library"
        compiler.compile_to(source, made, flags)
        sealed.seal(made, label)
        made.chmod(0o644)
        made.replace(path)


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
