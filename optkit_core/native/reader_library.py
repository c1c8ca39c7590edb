"""The native reader: the files of C++ in `SOURCES`, compiled, with what they call.

They call Python's C API, DLPack's table of functions for C, and functions that torch exports for
C; the reader is used with every release of torch that has these and passes its trial. Without it
every step looks at every tensor from Python, which is slower and says the same.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

from optkit_core.errors import ConfigError, UnavailableError
from optkit_core.native import cache as kernels
from optkit_core.native import cache_dirs, compiler, reader_trial
from optkit_core.native.reader import Reader

TITLE = "native reader"
"""What the cache's list calls it."""

SWITCH = "OPTKIT_NATIVE_READER"
"""The variable that switches the reader off."""

SOURCES = ("layout.cpp", "reader.cpp", "groups.cpp", "elements.cpp", "numbers.cpp")


def reader() -> Reader | None:
    """Return the native reader, or None where it can't be used."""
    found = state()
    return found if isinstance(found, Reader) else None


def unavailable_reason() -> str | None:
    """Return why the native reader isn't used, None where it is."""
    found = state()
    return None if isinstance(found, Reader) else found


def state() -> Reader | str:
    """Return the native reader, or why it can't be used."""
    if _is_switched_off():
        return f"{SWITCH} switches it off"
    return loaded(*map(os.environ.get, (cache_dirs.VARIABLE, compiler.VARIABLE)))


@cache
def loaded(folder: str | None, command: str | None) -> Reader | str:
    """Return what `state` does while nothing switches the reader off.

    Args:
        folder: the cache that the environment names, if it does; whoever mends a setting that
            kept the reader from being compiled isn't told the old reason.
        command: likewise the compiler.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "this Python runs without the lock that it relies on"
    try:
        found = Reader(ctypes.PyDLL(str(compiled())))
        return (
            found
            if reader_trial.passes(found)
            else "it failed its trial with this release of torch"
        )
    except (UnavailableError, OSError, AttributeError) as error:
        return str(error)


def compiled(portable: bool = False) -> Path:
    """Return the reader's library, compiled unless the cache has it.

    Raises:
        UnavailableError: it can't be had; says why.
    """
    source = "".join(Path(__file__).with_name(name).read_text() for name in SOURCES)
    return kernels.library(source, TITLE, portable)


def _is_switched_off() -> bool:
    given = os.environ.get(SWITCH, "").strip().lower()
    if given in ("", "1", "true", "on"):
        return False
    if given in ("0", "false", "off"):
        return True
    raise ConfigError(f"{SWITCH} must be 1 or 0, got {given!r}; 0 switches the native reader off.")
