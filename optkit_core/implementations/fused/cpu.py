"""``fused`` on CPU: the update body compiled to one loop over all elements of a bucket."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace

import torch

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cpp_source, row_partition
from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.cpp_kernel import KernelJob, load_kernel
from optkit_core.implementations.fused.cpp_types import TYPES
from optkit_core.implementations.fused.joined_launches import joined
from optkit_core.implementations.fused.row_partition import Part
from optkit_core.implementations.fused.sharded_passes import ShardedJob
from optkit_core.selection.offer import Launch, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.program import Program
from optkit_core.tracing.trace import trace
from optkit_core.tracing.traced_rows import RowKey, assignment, row_keys, traced_rows

__all__ = ["impossible_reason", "make_launcher", "source", "unsupported_reason"]


def make_launcher(algorithm: type[UpdateBody], bucket: Bucket) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.

    Raises:
        UnavailableError: there is no kernel for what the body does with these hyperparameters.
    """
    return row_partition.launcher_of_parts(algorithm, bucket, partial(_launch, algorithm))


def impossible_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why no kernel can be written for a bucket, None where one can.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    try:
        _written_for(algorithm, key, h)
    except UnavailableError as error:
        return str(error)
    return None


def unsupported_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why no kernel can step a bucket, None where one can; compiles one.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    try:
        load_kernel(*_written_for(algorithm, key, h), algorithm.__name__)
    except UnavailableError as error:
        return str(error)
    return None


def source(algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace) -> str:
    """Return the C++ source of the loop over a row, without what surrounds it.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    return cpp_source.body(*_written_for(algorithm, key, h))


def _written_for(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> tuple[Program, tuple[torch.dtype, ...]]:
    """Return what a kernel is written from: the body as a program, and the operands' dtypes."""
    dtypes = row_partition.expected_dtypes(algorithm, key, h, TYPES)
    program, _ = trace(algorithm, h, 1.0, buffers=key.buffers, dtype=key.dtype)
    return program, dtypes


def _launch(algorithm: type[UpdateBody], part: Part) -> Launch:
    """Return what steps the rows of one part, with their numbers computed."""
    table, numbers = part.table, part.numbers
    if numbers is None:
        return _traced(algorithm, table)
    scale = table.bucket.inverse_scale
    numbers.compute(None if scale is None else float(scale))
    if part.run is None:
        compiled = load_kernel(numbers.body.program, table.dtypes, algorithm.__name__)
        # It goes on reading these two arrays, into which every step computes its numbers.
        job = compiled.job(table, numbers.sets, numbers.numbers)
        part.run = _run_of(table, job, numbers.body.program, numbers.assign)
    return part.run


def _traced(algorithm: type[UpdateBody], table: AddressTable) -> Launch:
    """Return what steps a table's rows by running the body for each of their keys.

    Rows whose bodies differ get tables of their own.
    """
    bucket, counts = table.bucket, table.next_counts()
    each = counts if len(counts) > 1 else [*counts] * table.rows
    keys = row_keys(bucket, each)
    traces = traced_rows(algorithm, bucket, keys)
    programs = dict.fromkeys(traced.program for traced in traces.values())
    if len(programs) > 1:
        return joined(bucket, _by_key(algorithm, table, keys))
    (program,) = programs
    compiled = load_kernel(program, table.dtypes, algorithm.__name__)
    positions = {key: position for position, key in enumerate(traces)}
    sets = array("i", [positions[key] for key in keys])
    numbers = array("d", [float(n) for traced in traces.values() for n in traced.numbers])
    job = compiled.job(table, sets, numbers)
    return _run_of(table, job, program, assignment(bucket, traces, keys))


def _run_of(
    table: AddressTable, job: KernelJob, program: Program, assign: Callable[[], None]
) -> Launch:
    """Return what steps the rows of a table; parts of DTensors go pass by pass."""
    if table.bucket.key.sharded:
        return ShardedJob(table, job, program, assign)
    return partial(_run, table, job, assign)


def _run(table: AddressTable, job: KernelJob, assign: Callable[[], None]) -> None:
    # The numbers are those of this step already: whoever computed them added one.
    table.advance()
    assign()
    job.run()


def _by_key(
    algorithm: type[UpdateBody], table: AddressTable, keys: Sequence[RowKey]
) -> list[Launch]:
    launches = []
    table.bucket.refresh()  # it has no gradients where a reader looks them up
    for key in dict.fromkeys(keys):
        rows = [row for row, other in enumerate(keys) if other == key]
        # Without a reader, since this table serves a single step.
        part = AddressTable(table.bucket.subset(rows), table.names, None)
        launches.append(_traced(algorithm, part))
    return launches
