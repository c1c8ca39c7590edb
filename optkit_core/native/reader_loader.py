"""Loads the native reader: the files of C++ in `SOURCES`, compiled, with what they call.

They call Python's C API, DLPack's table of functions for C, and functions that torch exports for
C; the reader is used with every release of torch that has these and passes its self-test. Without
it every step looks at every tensor from Python, which is slower and says the same.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

from optkit_core.errors import ConfigError, UnavailableError
from optkit_core.native import cache as kernels
from optkit_core.native import cache_dirs, compiler, reader_self_test
from optkit_core.native.reader import Reader

TITLE = "native reader"
"""What the cache's list calls it."""

SWITCH = "OPTKIT_NATIVE_READER"
"""The variable that switches the reader off."""

SOURCES = ("layout.cpp", "reader.cpp", "groups.cpp", "elements.cpp", "numbers.cpp")


def reader() -> Reader | None:
    """Return the native reader, or None where it can't be used."""
    result = reader_or_reason()
    return result if isinstance(result, Reader) else None


def unavailable_reason() -> str | None:
    """Return why the native reader isn't used, None where it is."""
    result = reader_or_reason()
    return None if isinstance(result, Reader) else result


def reader_or_reason() -> Reader | str:
    """Return the native reader, or why it can't be used."""
    if _is_switched_off():
        return f"{SWITCH} switches it off"
    return load_reader(*map(os.environ.get, (cache_dirs.VARIABLE, compiler.VARIABLE)))


@cache
def load_reader(cache_dir: str | None, compiler_command: str | None) -> Reader | str:
    """Return what `reader_or_reason` does while nothing switches the reader off.

    Args:
        cache_dir: the cache that the environment names, if it does; whoever corrects a setting
            that kept the reader from being compiled isn't told the old reason.
        compiler_command: likewise the compiler.
    """
    # Another thread could exchange a tensor's memory while compiled code looks at it.
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "this Python runs without the lock that it relies on"
    try:
        reader = Reader(ctypes.PyDLL(str(compile_reader())))
        passes = reader_self_test.passes(reader)
        return reader if passes else "it failed its self-test with this release of torch"
    except (UnavailableError, OSError, AttributeError) as error:
        return str(error)


def compile_reader(portable: bool = False) -> Path:
    """Return the reader's library, compiled unless the cache has it.

    Args:
        portable: whether it is to run on other processors than this one too.

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
