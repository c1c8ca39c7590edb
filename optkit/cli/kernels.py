"""What ``optkit kernels`` does: the cache of compiled kernels, seen from the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import torch

import optkit
from optkit.cli.tables import console, plain_table
from optkit.cli.user_errors import OptionError, OutputError
from optkit_core.errors import PluginError, UnavailableError
from optkit_core.implementations.fused import prebuild
from optkit_core.implementations.fused.cpp_types import TYPES
from optkit_core.layerwise import Layerwise
from optkit_core.native import cache, cache_dirs, library_checksum, tensor_reader_loader
from optkit_core.optimizer import Optimizer
from optkit_core.tracing.operations.lookup import UntraceableError

DTYPES = ("float32", "bfloat16")


class CachedKernel(NamedTuple):
    """One compiled library.

    Args:
        title: the algorithm and dtypes that it was compiled for.
        compiler: the command that compiled it.
        size: in bytes.
        date: when it was compiled.
    """

    title: str
    compiler: str
    size: int
    date: datetime


class Built(NamedTuple):
    """What was built for one algorithm and dtype, or why nothing was."""

    name: str
    dtype: str
    kernels: int
    reason: str = ""


def cached_kernels() -> list[CachedKernel]:
    """Return what the cache holds, oldest first."""
    return [_cached_kernel(path) for path in cache.files()]


def build(names: Sequence[str], dtypes: Sequence[str], portable: bool) -> list[Built]:
    """Compile kernels ahead of their use.

    Args:
        names: of algorithms; all that have kernels where there are none.
        dtypes: of the parameters.
        portable: whether the kernels are to run on other processors than this one too.

    Raises:
        OptionError: an algorithm or a dtype has no kernels.
        OutputError: no kernel can be compiled or kept; says why.
        UnknownAlgorithmError: no algorithm goes by a name.
    """
    torch_dtypes = [_dtype(text) for text in dict.fromkeys(dtypes)]
    chosen = [(name, _compilable(name)) for name in dict.fromkeys(names)]
    if not chosen:
        return list(_registered(torch_dtypes, portable))
    return [
        _built(name, algorithm, dtype, portable)
        for name, algorithm in chosen
        for dtype in torch_dtypes
    ]


def clear() -> int:
    """Remove every compiled kernel, and return how many there were.

    Raises:
        OutputError: one can't be removed.
    """
    try:
        return cache.clear()
    except UnavailableError as error:
        raise OutputError(str(error)) from error


def print_cached(kernels: Sequence[CachedKernel]) -> None:
    """Print a table of compiled libraries, and where they lie."""
    out = console()
    if kernels:
        table = plain_table()
        table.add_column("For", overflow="fold")
        table.add_column("Compiler", overflow="fold")
        table.add_column("Bytes", justify="right", no_wrap=True)
        table.add_column("Compiled", no_wrap=True)
        for entry in kernels:
            date = f"{entry.date:%Y-%m-%d %H:%M}"
            table.add_row(entry.title, entry.compiler, str(entry.size), date)
        out.print(table)
    out.print(f"{len(kernels)} in {_locations()}.")
    out.print(_reader(kernels))


def _reader(kernels: Sequence[CachedKernel]) -> str:
    if not any(entry.title == tensor_reader_loader.TITLE for entry in kernels):
        return "The native reader isn't there yet; the first fused step compiles it."
    reason = tensor_reader_loader.unavailable_reason()
    return "The native reader is in use." if reason is None else f"No native reader: {reason}."


def print_built(built: Sequence[Built]) -> None:
    """Print what was built, and where it lies."""
    table = plain_table()
    table.add_column("Algorithm", no_wrap=True)
    table.add_column("Dtype", no_wrap=True)
    table.add_column("Kernels", overflow="fold")
    for item in built:
        table.add_row(item.name, item.dtype, item.reason or str(item.kernels))
    out = console()
    out.print(table)
    out.print(f"In {_locations()}.")


def _cached_kernel(path: Any) -> CachedKernel:
    facts = path.stat()
    label = library_checksum.read_label(path)
    title, _, compiler = (label or "not whole: to be compiled anew\n").partition("\n")
    return CachedKernel(title, compiler, facts.st_size, datetime.fromtimestamp(facts.st_mtime))


def _locations() -> str:
    directories = cache_dirs.readable()
    if directories:
        return ", ".join(map(str, directories))
    first = cache_dirs.candidates()[0]
    # lexists: a link that leads nowhere is there too, and isn't trusted.
    why_not = cache_dirs.distrust_reason(first) if os.path.lexists(first) else "not there yet"
    return f"{first} ({why_not})"


def _registered(dtypes: Sequence[torch.dtype], portable: bool) -> Iterator[Built]:
    """Build for all algorithms that have kernels; a broken plugin hides none of the others."""
    for name in optkit.available():
        try:
            algorithm = optkit.get(name)
        # One broken plugin doesn't keep the others' kernels from being built.
        except PluginError as error:
            yield Built(name, "", 0, f"not available: {error}")
            continue
        if _has_kernels(algorithm):
            yield from (_built(name, algorithm, dtype, portable) for dtype in dtypes)


def _compilable(name: str) -> Any:
    algorithm = optkit.get(name)
    if _has_kernels(algorithm):
        return algorithm
    raise OptionError(
        f"{name} has no kernels to build: it isn't an elementwise algorithm and brings no "
        "libraries along."
    )


def _has_kernels(algorithm: type[torch.optim.Optimizer]) -> bool:
    if issubclass(algorithm, Layerwise):
        return True
    return issubclass(algorithm, Optimizer) and bool(algorithm.libraries(torch.float32))


def _dtype(text: str) -> torch.dtype:
    dtype = getattr(torch, text, None)
    if dtype in TYPES and isinstance(dtype, torch.dtype):
        return dtype
    known = ", ".join(str(dtype).removeprefix("torch.") for dtype in TYPES)
    raise OptionError(f"--dtype {text!r}: kernels are for {known}.")


def _built(name: str, algorithm: Any, dtype: torch.dtype, portable: bool) -> Built:
    """Build; a body that no kernel can be written for hides nothing of the others."""
    text = str(dtype).removeprefix("torch.")
    try:
        return Built(name, text, prebuild.build(algorithm, dtype, portable))
    except UntraceableError as error:
        return Built(name, text, 0, f"none: {error}")
    except UnavailableError as error:
        # No compiler, say, or no place for the cache: the others would fare no better.
        raise OutputError(f"{error}.") from error
