"""The cache of compiled kernels: a directory of optkit's own, safe to share and to lose.

A library is written beside its place and renamed into it, and is compiled by one process
while others wait. Its name says for which source, processor and compiler it holds. Without a
compiler, those of any compiler serve, and those that were built for any processor. Nothing
is removed but what is called as a library or an unfinished one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from optkit_core.errors import UnavailableError
from optkit_core.native import cache_dirs, compile_lock, compiler, sealed_library

SUFFIX = ".so"
LIBRARY = re.compile(r"[0-9a-f]{20}(-[0-9a-f]{20}){2}\.so")
UNFINISHED = re.compile(r"unfinished-[0-9a-f]{20}")


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
    patience = compiler.patience()
    target = compiler.PORTABLE if portable else compiler.NATIVE
    try:
        name = f"{_stem(source, target)}-{_short(compiler.identity())}{SUFFIX}"
        label = f"{title}\n{shlex.join(compiler.command())}"
        found = _found(name) or _build(source, label, target, name, patience)
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
    return sorted(_libraries(), key=lambda path: path.stat().st_mtime)


def clear() -> int:
    """Remove every compiled library, and return how many there were.

    Raises:
        UnavailableError: one can't be removed; says why.
    """
    compile_lock.forget()
    found = _libraries()
    try:
        for path in found:
            path.unlink(missing_ok=True)
        for folder in filter(_unfinished, cache_dirs.readable()):
            with compile_lock.unless_taken(folder) as is_mine:
                if is_mine:
                    _sweep(folder)
    except OSError as error:
        raise UnavailableError(f"{error.filename} can't be removed: {error.strerror}") from error
    return len(found)


def _libraries() -> list[Path]:
    """Return every file, whole or not, that is called as a library is."""
    paths = (path for folder in cache_dirs.readable() for path in folder.glob(f"*{SUFFIX}"))
    return [p for p in paths if LIBRARY.fullmatch(p.name) and p.is_file() and not p.is_symlink()]


def _found(pattern: str) -> Path | None:
    paths = (path for folder in cache_dirs.readable() for path in sorted(folder.glob(pattern)))
    return next(filter(sealed_library.is_whole, paths), None)


def _stem(source: str, target: compiler.Target) -> str:
    """Return the part of a file's name that stands for the source, flags and processor."""
    flags = " ".join((*compiler.FLAGS, *target.flags))
    return f"{_short(source)}-{_short(flags + target.processor())}"


def _build(source: str, label: str, target: compiler.Target, name: str, patience: float) -> Path:
    """Compile a source to a file, unless another process has done so meanwhile."""
    folder, who = cache_dirs.writable(), compiler.identity()
    path = folder / name
    compile_lock.check(name, who, str(folder))
    try:
        with compile_lock.turn(folder, patience) as turn:
            if not sealed_library.is_whole(path):
                turn.check(name, who)
                _sweep(folder)
                _compile(source, label, target.flags, path, turn)
    except OSError as error:
        compile_lock.refuse(name, cache_dirs.complaint_of(folder, error))
        compile_lock.check(name)
    return path


def _compile(
    source: str, label: str, flags: Sequence[str], path: Path, turn: compile_lock.Turn
) -> None:
    try:
        _write(source, label, flags, path)
    except compiler.StuckError as error:
        turn.refuse(compiler.identity(), str(error))
        raise
    except UnavailableError as error:
        turn.refuse(path.name, str(error))
        raise


def _write(source: str, label: str, flags: Sequence[str], path: Path) -> None:
    beside = path.with_name(f"unfinished-{secrets.token_hex(10)}")
    beside.mkdir(mode=0o700)
    try:
        made = beside / "library"
        compiler.compile_to(source, made, flags)
        sealed_library.seal(made, label)
        made.chmod(0o644)
        made.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unfinished(folder: Path) -> list[Path]:
    """Return where libraries are being written, or were when their process died."""
    found = (path for path in folder.glob("*") if UNFINISHED.fullmatch(path.name))
    return [path for path in found if path.is_dir()]


def _sweep(folder: Path) -> None:
    """Remove what processes left behind that died; whoever calls this keeps others from writing."""
    for left in _unfinished(folder):
        shutil.rmtree(left, ignore_errors=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
