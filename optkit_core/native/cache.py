"""The cache of compiled kernels: a directory of optkit's own, safe to share and to lose.

A library is written beside its final path and renamed to it, which replaces a file at once: a
process that looks meanwhile finds the whole library or none, and one that has loaded the file
that was keeps it. It is compiled by one process while others wait. Its name says for which
source, processor and compiler it holds. Without a compiler, those of any compiler serve, and
those that were built for any processor. Nothing is removed but what is called as a library or an
unfinished one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

from optkit_core.errors import UnavailableError
from optkit_core.native import (
    cache_dirs,
    compile_failures,
    compile_lock,
    compiler,
    library_checksum,
)

SUFFIX = ".so"
LIBRARY = re.compile(r"[0-9a-f]{20}(-[0-9a-f]{20}){2}\.so")
UNFINISHED = re.compile(r"unfinished-[0-9a-f]{20}")


class LibraryRequest(NamedTuple):
    """A library that is to be had.

    Args:
        source: the C++ text.
        title: what it is, for `optkit kernels list`.
        target: the processors that it is for.
    """

    source: str
    title: str
    target: compiler.Target

    @property
    def stem(self) -> str:
        """The part of a file's name that stands for the source, flags and processor."""
        flags = " ".join((*compiler.FLAGS, *self.target.flags))
        return f"{_hash(self.source)}-{_hash(flags + self.target.processor())}"

    @property
    def label(self) -> str:
        """What stands in the file: the title, and the compiler's command."""
        return f"{self.title}\n{shlex.join(compiler.command())}"


def library(source: str, title: str = "", portable: bool = False) -> Path:
    """Return the compiled library of a source, from the cache or compiled now.

    Args:
        source: the C++ text.
        title: what it is, for `optkit kernels list`.
        portable: whether it is to run on other processors than this one too.

    Raises:
        UnavailableError: it isn't there and can't be compiled, or no directory can be used.
        ConfigError: the compiler's limit isn't a number of seconds.
    """
    timeout = compiler.timeout()
    request = LibraryRequest(source, title, compiler.PORTABLE if portable else compiler.NATIVE)
    try:
        name = f"{request.stem}-{_hash(compiler.identity())}{SUFFIX}"
        return _find(name) or _build(request, name, timeout)
    except UnavailableError:
        # What is to run on other machines can't be replaced by what was compiled for this one.
        substitute = None if portable else _find_substitute(request)
        if substitute is None:
            raise
        return substitute


def files() -> list[Path]:
    """Return the files of all compiled libraries, oldest first."""
    return sorted(_libraries(), key=lambda path: path.stat().st_mtime)


def clear() -> int:
    """Remove every compiled library, and return how many there were.

    Raises:
        UnavailableError: one can't be removed; says why.
    """
    compile_failures.forget_all()
    libraries = _libraries()
    try:
        for path in libraries:
            path.unlink(missing_ok=True)
        for directory in filter(_unfinished, cache_dirs.readable()):
            # Where the lock is taken a process compiles, and what is unfinished there is its own.
            with compile_lock.try_hold(directory) as is_held:
                if is_held:
                    _remove_unfinished(directory)
    except OSError as error:
        raise UnavailableError(f"{error.filename} can't be removed: {error.strerror}") from error
    return len(libraries)


def _libraries() -> list[Path]:
    """Return every file, intact or not, that is called as a library is."""
    paths = (path for directory in cache_dirs.readable() for path in directory.glob(f"*{SUFFIX}"))
    return [p for p in paths if LIBRARY.fullmatch(p.name) and p.is_file() and not p.is_symlink()]


def _find(pattern: str) -> Path | None:
    directories = cache_dirs.readable()
    paths = (path for directory in directories for path in sorted(directory.glob(pattern)))
    return next(filter(library_checksum.is_intact, paths), None)


def _find_substitute(request: LibraryRequest) -> Path | None:
    """Return a library of the same source by another compiler, or for more processors."""
    targets = [target for target in compiler.TARGETS if target.runs_here()]
    stems = (LibraryRequest(request.source, request.title, target).stem for target in targets)
    return next(filter(None, (_find(f"{stem}-*{SUFFIX}") for stem in stems)), None)


def _build(request: LibraryRequest, name: str, timeout: float) -> Path:
    """Compile a library to a file, unless another process has done so meanwhile."""
    directory, compiler_identity = cache_dirs.writable(), compiler.identity()
    path = directory / name
    compile_failures.raise_if_refused(name, compiler_identity, str(directory))
    try:
        with compile_lock.hold(directory, timeout) as lock:
            # Asked again under the lock: the process that held it may have compiled just this.
            if not library_checksum.is_intact(path):
                lock.raise_if_refused(name, compiler_identity)
                _remove_unfinished(directory)
                _compile(request, path, lock)
    except OSError as error:
        compile_failures.remember(name, cache_dirs.os_error_reason(directory, error))
        compile_failures.raise_if_refused(name)
    return path


def _compile(request: LibraryRequest, path: Path, lock: compile_lock.CompileLock) -> None:
    try:
        _write(request, path)
    except compiler.CompilerTimeoutError as error:
        lock.remember_refusal(compiler.identity(), str(error))
        raise
    except UnavailableError as error:
        lock.remember_refusal(path.name, str(error))
        raise


def _write(request: LibraryRequest, path: Path) -> None:
    # Beside the library, since a rename is atomic within one file system only.
    temporary = path.with_name(f"unfinished-{secrets.token_hex(10)}")
    temporary.mkdir(mode=0o700)
    try:
        unfinished = temporary / "library"
        compiler.compile_to(request.source, unfinished, request.target.flags)
        library_checksum.append_checksum(unfinished, request.label)
        # Whatever the umask is, who may enter the directory may read what lies in it.
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unfinished(directory: Path) -> list[Path]:
    """Return where libraries are being written, or were when their process died."""
    paths = (path for path in directory.glob("*") if UNFINISHED.fullmatch(path.name))
    return [path for path in paths if path.is_dir()]


def _remove_unfinished(directory: Path) -> None:
    """Remove what processes left behind that died; whoever calls this holds the lock."""
    for path in _unfinished(directory):
        shutil.rmtree(path, ignore_errors=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
