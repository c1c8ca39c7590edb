"""What Python prepares for a compiled step: plans, refusals, numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.errors import UnavailableError
from optkit_core.implementations import FOREACH, FORLOOP, step_counters
from optkit_core.implementations.fused import row_partition
from optkit_core.implementations.fused.cpp_types import TYPES
from optkit_core.selection.offer import Launch, UpdateBody
from optkit_core.step.buckets import Bucket
from optkit_core.step.group_values import GroupValues
from optkit_core.step.step_plan import BucketOptimizer, PlannedBucket
from optkit_core.torch_compile.execution import Work
from optkit_core.tracing.program import Program
from optkit_core.tracing.traced_rows import (
    RowKey,
    TracedRow,
    assignment,
    row_keys,
    traced_rows,
)


class PreparedStep(NamedTuple):
    """A step that is ready to be done, before anything has changed.

    Args:
        works: what the compiler sees.
        counters: the step counters of what it steps; they advance afterwards.
        assignments: what writes the scalar buffers, which it does afterwards too.
        launches: what steps the other buckets, uncompiled, and whether autograd records it.
    """

    works: list[Work]
    counters: list[list[Tensor]]
    assignments: list[Callable[[], None]]
    launches: list[tuple[bool, Launch]]

    def finish(self) -> None:
        """Do what the compiler doesn't see."""
        for counters in self.counters:
            step_counters.advance(counters)
        for assign in self.assignments:
            assign()
        for differentiable, launch in self.launches:
            with torch.set_grad_enabled(differentiable):
                launch()


def prepared_step(optimizer: BucketOptimizer) -> PreparedStep:
    """Return the step of an optimizer; every refusal comes from here.

    Raises:
        GradientError: gradients can't be used.
        ImplementationError: an implementation was requested that can't run.
    """
    optimizer.require_ready()
    prepared = PreparedStep([], [], [], [])
    optimizer.take_scaling()
    if optimizer.scaling.skipped():
        return prepared
    optimizer.check_groups()
    for item in optimizer.plan_buckets(GroupValues(optimizer), is_compiled=True):
        shown = _works(type(optimizer), item)
        if shown is not None:
            works, assign = shown
            prepared.works.extend(works)
            prepared.counters.append(item.bucket.counters)
            prepared.assignments.append(assign)
        else:
            launch = optimizer.launch(item)
            prepared.launches.append((item.bucket.key.differentiable, launch))
    prepared.launches[:] = optimizer.surrounded(prepared.launches)
    return prepared


def _works(
    algorithm: type[UpdateBody], item: PlannedBucket
) -> tuple[list[Work], Callable[[], None]] | None:
    """Return the work for a bucket, and what writes scalar buffers when it is done.

    None where the compiler can't be shown any.
    """
    if not _can_be_shown(item):
        return None
    bucket = item.bucket.as_real()
    keys = row_keys(bucket, _counts(bucket))
    try:
        traces = traced_rows(algorithm, bucket, keys)
        works = [
            _work(part, program, numbers, item.choice.offer is FORLOOP)
            for part, program, numbers in _by_program(bucket, traces, keys)
        ]
    except UnavailableError:  # a body that can't be traced steps uncompiled
        return None
    return works, assignment(bucket, traces, keys)


def _can_be_shown(item: PlannedBucket) -> bool:
    key = item.bucket.key
    is_plain = key.native and key.layout == torch.strided and not key.differentiable
    # What a scalar buffer holds on a device, no trace knows.
    is_known = not (key.capturable and item.bucket.scalars)
    return item.choice.offer in (FOREACH, FORLOOP) and is_plain and is_known


def _counts(bucket: Bucket) -> list[float | None]:
    """Return the number of the step for each row, None where the device counts."""
    if bucket.key.capturable:
        return [None] * len(bucket)
    return [t if t is None else t + 1 for t in step_counters.counts_of(bucket)]


def _by_program(
    bucket: Bucket, traces: Mapping[RowKey, TracedRow], keys: Sequence[RowKey]
) -> Iterator[tuple[Bucket, Program, list[list[Any]]]]:
    """Yield the rows that do the same, with their program and the numbers of each row.

    Where all rows have the same numbers, those of one are given.
    """
    if len(traces) == 1:
        (row,) = traces.values()
        yield bucket, row.program, [row.numbers]
        return
    for program in dict.fromkeys(row.program for row in traces.values()):
        rows = [row for row, key in enumerate(keys) if traces[key].program == program]
        yield bucket.subset(rows), program, [traces[keys[row]].numbers for row in rows]


def _work(
    bucket: Bucket,
    program: Program,
    numbers: list[list[Any]],
    one_by_one: bool,
) -> Work:
    inputs = [bucket.params, bucket.grads]
    inputs += [[state[name] for state in bucket.states] for name in bucket.tensors]
    dtypes = {tensor.dtype for row in inputs for tensor in row}
    row_partition.require_known(dtypes, TYPES)
    if bucket.key.capturable and bucket.counts_steps:
        # Counters themselves advance in `finish`, after the operations that read these.
        inputs.append([step + 1 for step in bucket.steps])
    # As in kernels: one float64 buffer, and everything is float64.
    computed = torch.float64 if torch.float64 in dtypes else torch.float32
    return Work(program, inputs, _table(numbers, bucket.key.device), computed, one_by_one)


def _table(numbers: Sequence[Sequence[Any]], device: torch.device) -> Tensor:
    """Return the numbers of each row as columns of a tensor on the device."""
    flat = [number for column in zip(*numbers, strict=True) for number in column]
    shape = len(numbers[0]), len(numbers)
    if not any(isinstance(number, Tensor) for number in flat):
        # Named, since torch.set_default_device() may have set another.
        table = torch.tensor(flat, dtype=torch.float64, device="cpu")
        return table.to(device, non_blocking=True).view(shape)
    wide = [torch.as_tensor(number, dtype=torch.float64).to(device) for number in flat]
    return torch.stack([number.reshape(()) for number in wide]).view(shape)
