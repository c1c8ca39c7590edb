"""Libraries: C++ that a plugin brings along, compiled once per machine, kept with the kernels."""

from __future__ import annotations

import ctypes
from functools import lru_cache


@lru_cache(maxsize=256)
def compiled_library(source: str, title: str) -> ctypes.CDLL:
    """Return a C++ source as a library, from the cache of kernels or compiled now.

    It is compiled without exceptions and without torch's headers, for this processor; see the
    documentation of the kernels for the cache and the compiler.

    Args:
        source: the C++ text.
        title: what it is, for ``optkit kernels list``.

    Returns:
        The library, whose functions are its attributes.

    Raises:
        UnavailableError: it can't be compiled or loaded here; says why.
    """
    from optkit_core.errors import UnavailableError
    from optkit_core.implementations.fused import cache, folders

    path = cache.library(source, title)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise UnavailableError(folders.refusal_to_load(error)) from error
