"""The cache of compiled kernels: where it lies, how large it is, whether it can be written."""

from __future__ import annotations

import os
from collections.abc import Iterator

import attrs

from optkit.cli.doctor.findings import Finding
from optkit_core.errors import OptkitError
from optkit_core.native import cache, cache_dirs


@attrs.frozen
class KernelCache:
    """Where compiled kernels lie.

    Args:
        path: the directory that is written to, or the first that was tried.
        kernels: how many libraries there are, in all directories.
        bytes: how large they are together.
        reason: why nothing can be written, ``""`` where it can.
    """

    path: str
    kernels: int
    bytes: int
    reason: str


def examine_cache() -> KernelCache:
    """Return what there is, in the first directory that can be written to."""
    try:
        path, reason = str(cache_dirs.writable()), ""
    except OptkitError as error:
        path, reason = _first_candidate(), str(error)
    libraries = cache.files() if not reason else []
    size = sum(library.stat().st_size for library in libraries)
    return KernelCache(path, len(libraries), size, reason)


def _first_candidate() -> str:
    try:
        return str(cache_dirs.candidates()[0])
    except OptkitError:
        return os.environ.get(cache_dirs.VARIABLE, "")


def findings(found: KernelCache) -> Iterator[Finding]:
    """Yield why nothing can be kept."""
    if found.reason:
        way_out = f"Name a directory of your own in {cache_dirs.VARIABLE}."
        yield Finding("kernel cache", found.reason, way_out)
