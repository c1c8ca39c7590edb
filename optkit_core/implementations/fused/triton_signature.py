"""Signatures: what the kernels for CUDA are written for."""

from __future__ import annotations

from typing import NamedTuple

import torch

from optkit_core.tracing.extent import Extent
from optkit_core.tracing.program import Instruction, Program
from optkit_core.tracing.reduction_passes import Passes, passes_of

CHUNK = 4096
"""Elements of a row that one program steps."""

BLOCK = 1024
"""Elements that a program takes at once: eight for each thread of four warps."""

TYPES = {
    torch.float32: "tl.float32",
    torch.float64: "tl.float64",
    torch.bfloat16: "tl.bfloat16",
    torch.float16: "tl.float16",
}
"""The dtypes that a kernel reads and writes."""


class Signature(NamedTuple):
    """What one kernel is written for.

    Args:
        program: what to do with an element.
        dtypes: of the parameter, the gradient and each buffer, in the program's order; half
            types are computed in float32, and everything in float64 where one of them is.
        step: dtype of the step counters, which the program may read from the device.
        numbers: for each number of the program the dtype in which it lies on the device, or
            None where the host gives it.
        found_inf: dtype of the number that tells the launch on the device, by not being zero,
            that nothing is to be done; None where there is none.
        is_tabled: whether rows take different sets of numbers, all of which lie on the device.
        number: which pass of the program it does, from 0. After the last one comes what stores
            the values that a tensor has one of, since every chunk may read those before.
    """

    program: Program
    dtypes: tuple[torch.dtype, ...]
    step: torch.dtype = torch.float32
    numbers: tuple[torch.dtype | None, ...] = ()
    found_inf: torch.dtype | None = None
    is_tabled: bool = False
    number: int = 0

    @property
    def computed(self) -> str:
        """Triton's name of the type that elements are computed in."""
        return TYPES[torch.float64 if torch.float64 in self.dtypes else torch.float32]

    @property
    def passes(self) -> Passes:
        """The passes of the program."""
        return passes_of(self.program)

    @property
    def reduced(self) -> tuple[int, ...]:
        """The values that this pass reduces to."""
        return () if self.is_after else self.passes.reductions[self.number]

    @property
    def is_after(self) -> bool:
        """Whether it comes after the last pass."""
        return self.number == len(self.passes.reductions)

    @property
    def numbers_of_kernels(self) -> list[int]:
        """The numbers of the kernels that the program needs, one after another."""
        last = len(self.passes.reductions) - 1
        ends = [number for number in (last, last + 1) if self._replace(number=number).stores]
        return [*range(last), *ends]

    @property
    def stores(self) -> tuple[tuple[int, int], ...]:
        """What is stored: elements by the last pass, what a tensor has one of after it."""
        if self.number + 1 < len(self.passes.reductions):
            return ()
        wanted = Extent.TENSOR if self.is_after else Extent.ELEMENT
        return tuple(pair for pair in self.program.stores if self.passes.extent(pair[0]) == wanted)

    @property
    def targets(self) -> list[int]:
        """The values that are to be reduced, or to be stored."""
        sources = [self.passes.source(value) for value in self.reduced]
        return [*sources, *(value for _, value in self.stores)]

    @property
    def results(self) -> list[int]:
        """Those of them that are computed of each element."""
        return [] if self.is_after else self.targets

    @property
    def slots(self) -> list[int]:
        """The reductions of all passes, in the order in which their results lie."""
        return [value for reduced in self.passes.reductions for value in reduced]

    @property
    def scalars(self) -> set[int]:
        """The values that are the same for all elements of a row."""
        extents = self.passes.extents
        shared = {v for v in self.passes.needed(self.targets) if extents[v] == Extent.TENSOR}
        return shared | {self.program.step}

    @property
    def elements(self) -> dict[int, Instruction]:
        """What is computed of each element."""
        definitions, scalars = self.program.definitions, self.scalars
        values = self.passes.needed(self.targets)
        return {v: definitions[v] for v in values if v in definitions and v not in scalars}

    @property
    def needed(self) -> list[int]:
        """What the computation of an element needs from outside: values, and numbers as -1, -2."""
        elements = self.elements
        used = {operand for line in elements.values() for operand in line.operands}
        return sorted((used | set(self.results)) - elements.keys())


class Combination(NamedTuple):
    """What the kernel is written for that combines the results of chunks, in their order.

    Args:
        ways: how the results of each reduction of a pass are combined.
    """

    ways: tuple[str, ...]


def unsupported_reason(program: Program) -> str | None:
    """Return why no kernel can be written for a program, None where one can."""
    passes = passes_of(program)
    if passes.has_matrices:
        return "kernels for CUDA reduce whole tensors, and it takes rows or columns apart"
    sources = [passes.source(value) for reduced in passes.reductions for value in reduced]
    if any(passes.extent(value) == Extent.TENSOR for value in sources):
        return "kernels for CUDA reduce elements, and it reduces what a tensor has one of"
    return None
