"""Kernels for CPU: a program compiled, loaded and ready to be called."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cpp_source
from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.native import cache, cache_dirs
from optkit_core.native.shared_structures import (
    WORD,
    Index,
    JobStruct,
    address,
    require_layouts,
)
from optkit_core.tracing.program import Program

MIN_ELEMENTS_PER_THREAD = 1 << 19
"""How many elements are worth a thread of their own: 0.7 ms of work.

For 800,000 elements a second thread saved from 5 to 17 % of a step, and made it twice as long
where others used the second core, since a step waits for all of its threads.
"""


class Kernel:
    """One compiled program, for one combination of dtypes.

    Args:
        path: of the library.
    """

    def __init__(self, path: str) -> None:
        """Load the library.

        Raises:
            UnavailableError: the system refuses to load it, or it isn't laid out as expected.
        """
        try:
            # CDLL gives Python's lock away: a kernel touches no object of Python.
            library = ctypes.CDLL(path)
            require_layouts(library, (JobStruct,))
            self.run = library.run
            self._library = library
            self.scratch_size = getattr(library, "scratch_size", None)
        except OSError as error:
            raise UnavailableError(cache_dirs.load_error_reason(error)) from error
        self.run.argtypes = [ctypes.c_void_p]
        self.run.restype = None
        if self.scratch_size is not None:
            self.scratch_size.argtypes = [ctypes.c_void_p]
            self.scratch_size.restype = Index

    def parts_function(self, name: str, *arguments: Any, returns: Any = None) -> Any:
        """Return a function of the library for parts of tensors; only a kernel that reduces has it.

        Args:
            name: of the function.
            *arguments: the types of its arguments after the job.
            returns: the type of its result.
        """
        function = getattr(self._library, name)
        function.argtypes, function.restype = [ctypes.c_void_p, *arguments], returns
        return function

    def job(self, table: AddressTable, sets: array[int], numbers: array[float]) -> KernelJob:
        """Return the update of every element of a table's rows.

        Args:
            table: where the rows lie.
            sets: for each row, which set of numbers it takes.
            numbers: the sets, one after another.
        """
        return KernelJob(self, table, sets, numbers)


class KernelJob:
    """A kernel with what it works on; the contents of the arrays may change between its runs.

    Args:
        kernel: what updates the elements.
        table: where the rows lie.
        sets: for each row, which set of numbers it takes.
        numbers: the sets, one after another.
    """

    def __init__(
        self, kernel: Kernel, table: AddressTable, sets: array[int], numbers: array[float]
    ) -> None:
        """Lay the arrays' addresses out for the compiled code."""
        self.rows = table.rows
        # Kept here, since the structure holds nothing but their addresses.
        self._arrays: list[array[Any]] = [table.ends, table.memory, sets, numbers]
        self._kernel = kernel
        self._job = JobStruct(table.rows, *(address(values) for values in self._arrays), 1)
        self._address = ctypes.addressof(self._job)
        self._most_threads = max(1, table.ends[-1] // MIN_ELEMENTS_PER_THREAD)
        self._scratch: array[float] = array("d")
        if kernel.scratch_size is not None:
            self._arrays.append(table.matrices)
            self._job.matrices = address(table.matrices)
            self._make_scratch()

    def run(self) -> None:
        """Update every element."""
        if self._has_other_threads():
            self._make_scratch()
        self._kernel.run(self._address)

    def run_pass(self, number: int) -> None:
        """Take every element through one pass, with the scratch of `scratch_of_parts`.

        Args:
            number: of the pass.
        """
        self._has_other_threads()
        self._kernel.parts_function("run_pass", Index)(self._address, number)

    def scratch_of_parts(self, reductions: int) -> tuple[Tensor, array[int]]:
        """Have scratch in which all results lie at once, those of every row beside each other.

        Args:
            reductions: how many the program has.

        Returns:
            The scratch, in bytes, and where in it the results lie, reduction by reduction for
            each row.
        """
        size = self._kernel.parts_function("scratch_size_of_parts", returns=Index)(self._address)
        scratch = torch.zeros(size, dtype=torch.uint8, device="cpu")
        self._parts_scratch, self._job.scratch = scratch, scratch.data_ptr()
        offsets = array("q", bytes(WORD * self.rows * max(1, reductions)))
        self._kernel.parts_function("find_results", ctypes.c_void_p)(
            self._address, address(offsets)
        )
        return scratch, offsets

    def _has_other_threads(self) -> bool:
        """Take the number of torch's threads of now; return whether it is another one."""
        # Asked anew in each step, since torch.set_num_threads() may come at any time.
        threads = min(torch.get_num_threads(), self._most_threads)
        is_other = bool(threads != self._job.threads)
        self._job.threads = threads
        return is_other

    def _make_scratch(self) -> None:
        """Have memory for what the kernel reduces to, if it reduces."""
        if self._kernel.scratch_size is not None:
            words = -(-self._kernel.scratch_size(self._address) // WORD)
            self._scratch = array("d", bytes(WORD * words))
            self._job.scratch = address(self._scratch)


@lru_cache(maxsize=1024)
def load_kernel(program: Program, dtypes: tuple[torch.dtype, ...], name: str) -> Kernel:
    """Return the kernel of a program, compiled unless the cache has it.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer.
        name: of the algorithm.

    Raises:
        UnavailableError: it can't be had; says why.
    """
    return Kernel(str(compile_kernel(program, dtypes, name)))


def compile_kernel(
    program: Program, dtypes: Sequence[torch.dtype], name: str, portable: bool = False
) -> Path:
    """Return the library of a program, compiled unless the cache has it.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer.
        name: of the algorithm.
        portable: whether it is to run on other processors than this one too.

    Raises:
        UnavailableError: it can't be had; says why.
    """
    dtype_names = dict.fromkeys(str(dtype).removeprefix("torch.") for dtype in dtypes)
    title = f"{name} {'/'.join(dtype_names)}, {len(program.instructions)} operations"
    return cache.library(cpp_source.source(program, dtypes), title, portable)
