"""Where compiled kernels may lie: in optkit's own directories, that nobody else can write to.

A library is code that this process runs; whoever can write to its directory could run anything
in the name of this user.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from optkit_core.errors import ConfigError, UnavailableError

VARIABLE = "OPTKIT_CACHE_DIR"

SUBDIRECTORY = "optkit-kernels"
"""What optkit's directory is called below the one that the variable names."""

INHERITABLE_MODE = 0o755
"""The permissions that a directory may take over from the one that it is made in."""


def readable() -> list[Path]:
    """Return the directories that are there and may be loaded from, the preferred first."""
    return [d for d in candidates() if os.path.isdir(d) and distrust_reason(d) is None]


def writable() -> Path:
    """Return the first directory that can be written to, made if need be.

    Raises:
        UnavailableError: there is none; says why, and the way out.
    """
    reasons = []
    for directory in candidates():
        try:
            reason = _make(directory)
        except OSError as error:
            reasons.append(os_error_reason(directory, error))
            continue
        if reason is None and os.access(directory, os.W_OK):
            return directory
        reasons.append(reason or f"{directory} can't be written to; name another in {VARIABLE}")
    raise UnavailableError(f"compiled kernels can't be kept: {'; '.join(reasons)}")


def candidates() -> list[Path]:
    """Return one below that of ``OPTKIT_CACHE_DIR``; without it the user's own, and a spare one."""
    named = _named()
    if named:
        return [named / SUBDIRECTORY]
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    # With the user's number: anybody could come first and own a name that all users share.
    spare = Path(tempfile.gettempdir()) / f"{SUBDIRECTORY}-{_user()}"
    try:
        return [Path(base).expanduser() / "optkit" / "kernels", spare]
    except RuntimeError:  # this user has no home
        return [spare]


def distrust_reason(directory: Path) -> str | None:
    """Return why what lies in a directory can't be trusted, and the way out, or None.

    Nor can it where others could exchange it, in the directory that the variable names.
    """
    named = _named()
    return (_distrust_reason(named) if named else None) or _distrust_reason(directory)


def os_error_reason(directory: Path, error: OSError) -> str:
    """Return what the system says about a directory, and the way out.

    Args:
        directory: the one that was to be used.
        error: what came of it.
    """
    return f"{directory} can't be used: {error.strerror}; name another in {VARIABLE}"


def load_error_reason(error: OSError) -> str:
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


def _make(directory: Path) -> str | None:
    """Make a directory where there is none; return why it can't be trusted, or None.

    Its permissions are the owner's alone, unless the one that the variable names is there for
    others to read: a team then shares what one of it has compiled.
    """
    named = _named()
    if named:
        named.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The named one first: where others can write, nothing made below is safe from exchange.
    reason = _distrust_reason(named) if named else None
    if reason is None:
        # Another process may make it meanwhile; whose it is gets looked at afterwards in any case.
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700, parents=True)
            # The umask has cut what mkdir was told; chmod isn't subject to it.
            if named:
                directory.chmod(stat.S_IMODE(named.stat().st_mode) & INHERITABLE_MODE)
    return reason or _distrust_reason(directory)


def _distrust_reason(directory: Path) -> str | None:
    facts = directory.lstat()  # of a link itself, which may lead anywhere tomorrow
    if not stat.S_ISDIR(facts.st_mode):
        return f"{directory} isn't a directory of its own; name another in {VARIABLE}"
    # Root can do anything to this process as it is.
    if facts.st_uid not in (_user(), 0):
        return f"{directory} belongs to another user; name another in {VARIABLE}"
    # A sticky bit doesn't help: others could still add a file that is called as a library.
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return (
            f"others than its owner can write to {directory}; take that right away "
            f"(chmod go-w), or name another in {VARIABLE}"
        )
    return None


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
