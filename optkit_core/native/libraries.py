"""Libraries: C++ that a plugin brings along, compiled once per machine, kept with the kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path


@lru_cache(maxsize=256)
def compiled_library(
    source: str, title: str, structures: Iterable[type[ctypes.Structure]] = ()
) -> ctypes.CDLL:
    """Return a C++ source as a library, from the cache of kernels or compiled now.

    It is compiled without exceptions and without torch's headers, for this processor; see the
    documentation of the kernels for the cache and the compiler.

    Args:
        source: the C++ text.
        title: what it is, for ``optkit kernels list``.
        structures: a tuple of those that both sides declare, by the same name, or by that of the
            class attribute ``cpp_name``. The source says how it lays each one out, by
            ``LAYOUT(Name, AT(Name, first), AT(Name, second), ...)`` with all fields in order;
            see `with_layouts`. Default: none.

    Returns:
        The library, whose functions are its attributes.

    Raises:
        UnavailableError: it can't be compiled or loaded here, or lays a structure out otherwise
            than Python does; says why.
    """
    from optkit_core.errors import UnavailableError
    from optkit_core.native import cache, cache_dirs
    from optkit_core.native import shared_structures as layouts

    path = cache.library(with_layouts(source), title)
    try:
        # CDLL, not PyDLL: other threads of Python go on while a function runs.
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise UnavailableError(cache_dirs.load_error_reason(error)) from error
    layouts.require_layouts(library, structures)
    return library


def with_layouts(source: str) -> str:
    """Return a C++ source behind the macros by which it tells of its structures."""
    return f"{_macros()}{source}"


@cache
def _macros() -> str:
    return Path(__file__).with_name("layout.cpp").read_text()
