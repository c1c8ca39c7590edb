"""Where compiled kernels may lie: in directories that nobody else can write to."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from optkit_core.errors import UnavailableError

VARIABLE = "OPTKIT_CACHE_DIR"


def readable() -> list[Path]:
    """Return the directories that are there and may be loaded from, the preferred first."""
    return [folder for folder in candidates() if folder.is_dir() and not complaint(folder)]


def writable() -> Path:
    """Return the first directory that can be written to, made if need be.

    Raises:
        UnavailableError: there is none; says why, and the way out.
    """
    reasons = []
    for folder in candidates():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            reasons.append(complaint_of(folder, error))
            continue
        reason = complaint(folder)
        if not reason and os.access(folder, os.W_OK):
            return folder
        reasons.append(reason or f"{folder} can't be written to; name another in {VARIABLE}")
    raise UnavailableError(f"compiled kernels can't be kept: {'; '.join(reasons)}")


def candidates() -> list[Path]:
    """Return the directory of ``OPTKIT_CACHE_DIR``; without it the user's own, and a spare one."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return [Path(named).expanduser()]
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    spare = Path(tempfile.gettempdir()) / f"optkit-kernels-{_user()}"
    try:
        return [Path(base).expanduser() / "optkit" / "kernels", spare]
    except RuntimeError:
        return [spare]


def complaint(folder: Path) -> str:
    """Return why what lies in a directory can't be trusted, and the way out, or ``""``."""
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


def complaint_of(folder: Path, error: OSError) -> str:
    """Return what the system says about a directory, and the way out."""
    return f"{folder} can't be used: {error.strerror}; name another in {VARIABLE}"


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def refusal_to_load(error: OSError) -> str:
    """Return what to do where the system refuses to load a compiled library."""
    return (
        f"the compiled kernel can't be loaded: {error}; where the system forbids it, name another "
        f"directory in {VARIABLE}"
    )
