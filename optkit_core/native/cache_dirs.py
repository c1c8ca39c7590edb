"""Where compiled kernels may lie: in optkit's own directories, that nobody else can write to."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from optkit_core.errors import ConfigError, UnavailableError

VARIABLE = "OPTKIT_CACHE_DIR"

OWN = "optkit-kernels"
"""What optkit's directory is called below the one that the variable names."""

READABLE = 0o755
"""The rights that a directory may take over from the one that it is made in."""


def readable() -> list[Path]:
    """Return the directories that are there and may be loaded from, the preferred first."""
    return [folder for folder in candidates() if os.path.isdir(folder) and not complaint(folder)]


def writable() -> Path:
    """Return the first directory that can be written to, made if need be.

    Raises:
        UnavailableError: there is none; says why, and the way out.
    """
    reasons = []
    for folder in candidates():
        try:
            reason = _making(folder)
        except OSError as error:
            reasons.append(complaint_of(folder, error))
            continue
        if not reason and os.access(folder, os.W_OK):
            return folder
        reasons.append(reason or f"{folder} can't be written to; name another in {VARIABLE}")
    raise UnavailableError(f"compiled kernels can't be kept: {'; '.join(reasons)}")


def candidates() -> list[Path]:
    """Return one below that of ``OPTKIT_CACHE_DIR``; without it the user's own, and a spare one."""
    named = _named()
    if named:
        return [named / OWN]
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    spare = Path(tempfile.gettempdir()) / f"{OWN}-{_user()}"
    try:
        return [Path(base).expanduser() / "optkit" / "kernels", spare]
    except RuntimeError:
        return [spare]


def complaint(folder: Path) -> str:
    """Return why what lies in a directory can't be trusted, and the way out, or ``""``.

    Nor can it where others could exchange it, in the directory that the variable names.
    """
    named = _named()
    return (_complaint(named) if named else "") or _complaint(folder)


def complaint_of(folder: Path, error: OSError) -> str:
    """Return what the system says about a directory, and the way out."""
    return f"{folder} can't be used: {error.strerror}; name another in {VARIABLE}"


def refusal_to_load(error: OSError) -> str:
    """Return what to do where the system refuses to load a compiled library."""
    return (
        f"the compiled kernel can't be loaded: {error}; where the system forbids it, name another "
        f"directory in {VARIABLE}"
    )


def _named() -> Path | None:
    """Return the directory that the variable names, in which anything else may lie too."""
    given = os.environ.get(VARIABLE, "").strip()
    try:
        return Path(given).expanduser() if given else None
    except RuntimeError as error:
        raise ConfigError(f"{VARIABLE} is {given!r}, and there is no such home: {error}") from error


def _making(folder: Path) -> str:
    """Make a directory where there is none; return why it can't be trusted, or ``""``."""
    named = _named()
    if named:
        named.mkdir(mode=0o700, parents=True, exist_ok=True)
    reason = _complaint(named) if named else ""
    if not reason:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700, parents=True)
            if named:
                folder.chmod(stat.S_IMODE(named.stat().st_mode) & READABLE)
    return reason or _complaint(folder)


def _complaint(folder: Path) -> str:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        return f"{folder} isn't a directory of its own; name another in {VARIABLE}"
    if facts.st_uid not in (_user(), 0):
        return f"{folder} belongs to another user; name another in {VARIABLE}"
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return (
            f"others than its owner can write to {folder}; take that right away "
            f"(chmod go-w), or name another in {VARIABLE}"
        )
    return ""


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
