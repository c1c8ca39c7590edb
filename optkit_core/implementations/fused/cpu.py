"""``fused`` on CPU: the update body compiled to one loop over all elements of a bucket."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cpp_source, row_partition
from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.cpp_kernel import KernelJob, load_kernel
from optkit_core.implementations.fused.cpp_types import TYPES
from optkit_core.implementations.fused.row_partition import Part
from optkit_core.selection.offer import Launch, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.trace import trace, trace_bucket

__all__ = ["make_launcher", "source", "unsupported_reason"]


def make_launcher(algorithm: type[UpdateBody], bucket: Bucket) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.

    Raises:
        UnavailableError: there is no kernel for what the body does with these hyperparameters.
    """
    return row_partition.launcher_of_parts(algorithm, bucket, partial(_launch, algorithm))


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
        dtypes = row_partition.expected_dtypes(algorithm, key, h, TYPES)
        program, _ = trace(algorithm, h, 1.0, buffers=key.buffers, dtype=key.dtype)
        load_kernel(program, dtypes, algorithm.__name__)
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
    program, _ = trace(algorithm, h, 1.0, buffers=key.buffers, dtype=key.dtype)
    return cpp_source.body(program, row_partition.expected_dtypes(algorithm, key, h, TYPES))


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
        part.run = partial(_run, table, compiled.job(table, numbers.sets, numbers.numbers))
    return part.run


def _traced(algorithm: type[UpdateBody], table: AddressTable) -> Launch:
    """Return what steps a table's rows by running the body for each of their groups and counts.

    Rows whose bodies differ get tables of their own.
    """
    bucket = table.bucket
    counts = table.next_counts()
    group_steps = list(
        zip(bucket.groups, counts if len(counts) > 1 else [*counts] * table.rows, strict=True)
    )
    distinct = list(dict.fromkeys(group_steps))
    traces = [
        trace_bucket(algorithm, bucket, bucket.hyperparameters[index], t) for index, t in distinct
    ]
    if any(program != traces[0][0] for program, _ in traces):
        return row_partition.one_after_another(_by_group_step(algorithm, table, group_steps))
    compiled = load_kernel(traces[0][0], table.dtypes, algorithm.__name__)
    positions = {key: position for position, key in enumerate(distinct)}
    sets = array("i", [positions[key] for key in group_steps])
    numbers = array("d", [float(number) for _, numbers in traces for number in numbers])
    return partial(_run, table, compiled.job(table, sets, numbers))


def _run(table: AddressTable, job: KernelJob) -> None:
    # The numbers are those of this step already: whoever computed them added one.
    table.advance()
    job.run()


def _by_group_step(
    algorithm: type[UpdateBody], table: AddressTable, group_steps: Sequence[tuple[int, float]]
) -> list[Launch]:
    launches = []
    table.bucket.refresh()  # it has no gradients where a reader looks them up
    for key in dict.fromkeys(group_steps):
        rows = [row for row, other in enumerate(group_steps) if other == key]
        # Without a reader, since this table serves a single step.
        part = AddressTable(table.bucket.subset(rows), table.names, None)
        launches.append(_traced(algorithm, part))
    return launches
