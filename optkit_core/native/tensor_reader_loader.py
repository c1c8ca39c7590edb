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
from optkit_core.native import cache_dirs, compiler, tensor_reader_self_test
from optkit_core.native.tensor_reader import Reader

TITLE = "native reader"
"""What the cache's list calls it."""

SWITCH = "OPTKIT_NATIVE_READER"
"""The variable that switches the reader off."""

# One text in this order: each file uses what those before it declare.
SOURCES = ("layout.cpp", "tensor_reader.cpp", "groups.cpp", "elements.cpp", "numbers.cpp")


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
    if is_switched_off():
        return f"{SWITCH} switches it off"
    reason = _reason(*map(os.environ.get, (cache_dirs.VARIABLE, compiler.VARIABLE)))
    return load_reader() if reason is None else reason


# It keeps no exception: `_reason` does, by the settings that another try depends on.
@cache
def load_reader() -> Reader:
    """Return the native reader, compiled unless the cache has it.

    Raises:
        UnavailableError: it can't be used here; says why.
    """
    # Another thread could exchange a tensor's memory while compiled code looks at it.
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise UnavailableError("this Python runs without the lock that it relies on")
    try:
        reader = Reader(ctypes.PyDLL(str(compile_reader())))
        passes = tensor_reader_self_test.passes(reader)
    except (OSError, AttributeError) as error:
        raise UnavailableError(str(error)) from error
    if not passes:
        raise UnavailableError("it failed its self-test with this release of torch")
    return reader


@cache
def _reason(cache_dir: str | None, compiler_command: str | None) -> str | None:
    """Return why there is no reader; whoever corrects one of these settings may have one then."""
    try:
        load_reader()
    except UnavailableError as error:
        return str(error)
    return None


def forget() -> None:
    """Load the reader anew when it is wanted again."""
    load_reader.cache_clear()
    _reason.cache_clear()


def compile_reader(portable: bool = False) -> Path:
    """Return the reader's library, compiled unless the cache has it.

    Args:
        portable: whether it is to run on other processors than this one too.

    Raises:
        UnavailableError: it can't be had; says why.
    """
    source = "".join(Path(__file__).with_name(name).read_text() for name in SOURCES)
    return kernels.library(source, TITLE, portable)


def is_switched_off() -> bool:
    """Return whether ``OPTKIT_NATIVE_READER`` switches the reader off.

    Raises:
        ConfigError: its value is neither 1 nor 0.
    """
    given = os.environ.get(SWITCH, "").strip().lower()
    if given in ("", "1", "true", "on"):
        return False
    if given in ("0", "false", "off"):
        return True
    raise ConfigError(f"{SWITCH} must be 1 or 0, got {given!r}; 0 switches the native reader off.")
