"""Passes over parts of DTensors: between two of them, what was reduced is completed over the mesh.

All rows of a bucket go through a pass before any goes through the next one. Its results are
completed together, in the order of the parameters: how a rank's rows are divided into parts
depends on how its tensors lie, which the other ranks don't know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import is_
from typing import NamedTuple

import torch

from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.cpp_kernel import KernelJob
from optkit_core.selection.offer import Launch
from optkit_core.shards.collectives import Share
from optkit_core.shards.open_passes import OpenLaunch, OpenPasses, OpenShares
from optkit_core.shards.spreads import (
    Spread,
    SpreadDim,
    reduced_mesh_dims,
    varying_mesh_dims,
    without,
)
from optkit_core.tracing.extent import Extent
from optkit_core.tracing.program import Program
from optkit_core.tracing.reduction_passes import Passes, passes_of

PAIR = SpreadDim(2)
"""The dim of a complex tensor as pairs of real numbers."""


class PartialResult(NamedTuple):
    """Where the results of one reduction of one row lie.

    Args:
        order: the position of the parameter, and that of the reduction.
        share: what they are, and how they are completed.
    """

    order: tuple[int, int]
    share: Share


class ShardedJob:
    """A kernel's passes over some rows, one at a time.

    Args:
        table: where the rows lie.
        job: the kernel and what it works on.
        program: what it was written for.
        assign: writes what the host has computed for scalar buffers.
    """

    def __init__(
        self, table: AddressTable, job: KernelJob, program: Program, assign: Callable[[], None]
    ) -> None:
        """Find out where results will lie."""
        self._table, self._job, self._assign = table, job, assign
        passes = passes_of(program)
        self.is_elementwise = program.is_elementwise
        self.results: list[list[PartialResult]] = [[]]
        if not self.is_elementwise:
            self.results = _results(table, job, passes)

    def begin(self) -> None:
        """Write the counters, and the scalar buffers."""
        self._table.advance()
        self._assign()

    def run(self, number: int) -> None:
        """Run a pass."""
        if self.is_elementwise:
            self._job.run()
        else:
            self._job.run_pass(number)

    def __call__(self) -> None:
        """Step the rows, whose reductions go no further than this rank."""
        JointPasses([self])()


class JointPasses(OpenLaunch):
    """The passes of several jobs, each of which leaves its results open.

    Args:
        launches: jobs, and what is to be done after them.
    """

    def __init__(self, launches: Sequence[Launch]) -> None:
        """Put the results of all jobs in the order of the parameters."""
        super().__init__(self._passes)
        self.launches = [inner for launch in launches for inner in _opened(launch)]
        self._jobs = [launch for launch in self.launches if isinstance(launch, ShardedJob)]
        self._after = [launch for launch in self.launches if not isinstance(launch, ShardedJob)]
        count = max((len(job.results) for job in self._jobs), default=0)
        self._open = [OpenShares(_shares(self._jobs, number)) for number in range(count)]

    def is_of(self, launches: Sequence[Launch]) -> bool:
        """Return whether these are the same ones."""
        opened = [inner for launch in launches for inner in _opened(launch)]
        return len(opened) == len(self.launches) and all(map(is_, opened, self.launches))

    def _passes(self) -> OpenPasses:
        """Step all rows."""
        for job in self._jobs:
            job.begin()
        for number, opened in enumerate(self._open):
            for job in self._jobs:
                if number < len(job.results):
                    job.run(number)
            if opened.shares:
                yield [opened]
        for launch in self._after:
            launch()


def _opened(launch: Launch) -> Sequence[Launch]:
    return launch.launches if isinstance(launch, JointPasses) else [launch]


def _shares(jobs: Sequence[ShardedJob], number: int) -> list[Share]:
    """Return the results of a pass, in the order of the parameters."""
    found = [result for job in jobs for result in _at(job.results, number)]
    return [result.share for result in sorted(found, key=lambda result: result.order)]


def _at(results: Sequence[list[PartialResult]], number: int) -> list[PartialResult]:
    return results[number] if number < len(results) else []


def _results(table: AddressTable, job: KernelJob, passes: Passes) -> list[list[PartialResult]]:
    """Return the results of each pass that other ranks have a share of."""
    slots = [value for reduced in passes.reductions for value in reduced]
    scratch, offsets = job.scratch_of_parts(len(slots))
    computed = torch.float64 if torch.float64 in table.dtypes else torch.float32
    found: list[list[PartialResult]] = [[] for _ in passes.reductions]
    for number, reduced in enumerate(passes.reductions):
        for value in reduced:
            slot, extent = slots.index(value), passes.extent(value)
            combine = passes.reduction(value).combine
            for r, row in enumerate(table.bucket.sharded):
                spread = _as_real(row.spread, table)
                dims = _reduced_dims(passes, value, len(spread))
                mesh_dims = reduced_mesh_dims(spread, dims)
                if mesh_dims:
                    size = prod(extent.sizes(table.matrices[6 * r : 6 * r + 3]))
                    dtype = torch.float64 if extent == Extent.TENSOR else computed
                    begin = offsets[r * len(slots) + slot]
                    place = scratch[begin : begin + size * dtype.itemsize].view(dtype)
                    left = varying_mesh_dims(without(spread, dims, keepdim=True))
                    share = Share(place, row.mesh, mesh_dims, combine, left)
                    found[number].append(PartialResult((row.position, slot), share))
    return found


def _as_real(spread: Spread, table: AddressTable) -> Spread:
    return (*spread, PAIR) if table.bucket.key.dtype.is_complex else spread


def _reduced_dims(passes: Passes, value: int, last: int) -> tuple[int, ...]:
    """Return which of so many dims of a tensor a reduction is over."""
    over = passes.extent(passes.source(value)) & passes.reduction(value).over
    kinds = {last - 1: Extent.COLUMNS, last - 2: Extent.ROWS}
    return tuple(i for i in range(last) if kinds.get(i, Extent.BATCH) & over)
