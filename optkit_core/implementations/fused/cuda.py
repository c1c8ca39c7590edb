"""``fused`` on CUDA: the update body as one Triton kernel for all elements of a bucket."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.util import find_spec
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.declaration.buffers import STEP
from optkit_core.errors import UnavailableError
from optkit_core.implementations import step_counters
from optkit_core.implementations.fused import cuda_passes, row_partition, triton_source
from optkit_core.implementations.fused.address_table import AddressTable
from optkit_core.implementations.fused.cuda_passes import Kernels
from optkit_core.implementations.fused.device_numbers import dtypes_of, on, tabled
from optkit_core.implementations.fused.device_table import launch_tables
from optkit_core.implementations.fused.row_partition import Part
from optkit_core.implementations.fused.triton_signature import TYPES, Signature
from optkit_core.implementations.fused.triton_signature import (
    unsupported_reason as unsupported_program_reason,
)
from optkit_core.selection.offer import Launch, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.program import Program
from optkit_core.tracing.trace import trace
from optkit_core.tracing.traced_rows import (
    RowKey,
    TracedRow,
    assignment,
    row_keys,
    traced_rows,
)

__all__ = ["impossible_reason", "make_launcher", "source", "unsupported_reason"]

OLDEST = (7, 5)
"""The compute capability from which on Triton compiles for a device."""


COUNTED_IN = torch.float64
"""The dtype of step counters that `source` writes a kernel for."""


class KernelLaunches(NamedTuple):
    """One launch of the kernels of a program.

    Args:
        kernels: the compiled functions; None where the body changes nothing.
        numbers: what they are given: host numbers and tensors on the device, or one tensor with
            the numbers of every set.
        ends: elements up to the end of each row, counting only the rows to be stepped.
        sets: for each row which set of numbers it takes; empty where all take the same.
    """

    kernels: Kernels | None
    numbers: list[Any]
    ends: array[int]
    sets: array[int]


def make_launcher(algorithm: type[UpdateBody], bucket: Bucket) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.

    Raises:
        UnavailableError: there is no kernel for what the body does with these hyperparameters.
    """
    _settle_counters(bucket)
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
        row_partition.expected_dtypes(algorithm, key, h, TYPES)
        t = None if key.capturable else 1.0
        program, _ = trace(algorithm, h, t, buffers=key.buffers, dtype=key.dtype)
        require_supported(program)
    except UnavailableError as error:
        return str(error)
    return None


def unsupported_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why no kernel can step a bucket, None where one can.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    return impossible_reason(algorithm, key, h) or unsupported_device_reason(key.device)


def source(algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace) -> str:
    """Return the Triton source of the kernel that steps a bucket.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    dtypes = row_partition.expected_dtypes(algorithm, key, h, TYPES)
    t = None if key.capturable else 1.0
    program, numbers = trace(algorithm, h, t, buffers=key.buffers, dtype=key.dtype)
    require_supported(program)
    first = Signature(program, dtypes, COUNTED_IN, dtypes_of(numbers), None)
    numbers_of_kernels = first.numbers_of_kernels
    sources = [triton_source.source(first._replace(number=i)) for i in numbers_of_kernels]
    return "\n\n".join(sources)


def require_supported(program: Program) -> None:
    """Raise for a program of which no kernel can be written.

    Raises:
        UnavailableError: says why.
    """
    reason = unsupported_program_reason(program)
    if reason:
        raise UnavailableError(reason)


@cache
def unsupported_device_reason(device: torch.device) -> str | None:
    """Return why Triton's kernels can't run on a device, None where they can."""
    # torch calls ROCm's devices "cuda" too.
    if torch.version.hip:
        return "the kernels are for CUDA; how ROCm rounds in them is unknown"
    if find_spec("triton") is None:
        return "Triton isn't installed; pip install triton"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST:
        return f"Triton compiles for compute capability {OLDEST} and newer, not for {capability}"
    return None


def _settle_counters(bucket: Bucket) -> None:
    """Have all step counters on the device, if any is, or if the device may skip the step.

    Raises:
        UnavailableError: they are of several dtypes.
    """
    if bucket.kept is not None and bucket.found_inf is None:
        return  # they were settled when the parts were made
    device, steps = bucket.key.device, bucket.counters
    if not steps:
        return
    is_away = [step.device != device for step in steps]
    # Only the device knows whether a step is skipped: a count of the host would be wrong.
    if any(is_away) and (bucket.found_inf is not None or not all(is_away)):
        for state in bucket.states:
            state[STEP] = state[STEP].to(device, non_blocking=True)
        bucket.kept = None
    if any(step.dtype != steps[0].dtype for step in steps):
        raise UnavailableError("the step counters are of several dtypes")


def _launch(algorithm: type[UpdateBody], part: Part) -> Launch:
    """Return what steps the rows of a part: one launch for each branch of the body."""
    row_partition.require_known(part.table.dtypes, TYPES)
    if part.numbers is not None:
        return partial(_run, part.table, [_recorded(part)], part.numbers.assign)
    keys = row_keys(part.table.bucket, _counts(part.table))
    traces = traced_rows(algorithm, part.table.bucket, keys)
    assign = assignment(part.table.bucket, traces, keys)
    return partial(_run, part.table, _passes(part.table, traces, keys), assign)


def _recorded(part: Part) -> KernelLaunches:
    """Return the launch for rows whose numbers are computed by compiled code."""
    table, numbers = part.table, part.numbers
    assert numbers is not None
    scale = table.bucket.inverse_scale
    count = numbers.compute(None if scale is None else float(scale))
    width = numbers.body.width
    sets = [numbers.numbers[i * width : (i + 1) * width].tolist() for i in range(count)]
    return _pass(table, numbers.body.program, sets, table.ends, numbers.sets)


def _passes(
    table: AddressTable, traces: Mapping[RowKey, TracedRow], keys: Sequence[RowKey]
) -> list[KernelLaunches]:
    """Return the launches for rows whose bodies are run: one for each branch that they take."""
    device = table.bucket.key.device
    given = {key: [on(device, number) for number in row.numbers] for key, row in traces.items()}
    together: dict[Any, list[RowKey]] = {}
    for key, row in traces.items():
        together.setdefault((row.program, dtypes_of(given[key])), []).append(key)
    passes = []
    for (program, _), alike in together.items():
        positions = {key: position for position, key in enumerate(alike)}
        chosen = [positions.get(key, -1) for key in keys]
        numbers = [given[key] for key in alike]
        ends, sets = _ends(table, chosen), array("i", [max(0, position) for position in chosen])
        passes.append(_pass(table, program, numbers, ends, sets))
    return passes


def _counts(table: AddressTable) -> Sequence[float | None]:
    """Return the number of the step for each row, None where the device counts."""
    if _counted_on_device(table.bucket):
        return [None] * table.rows
    counts = table.next_counts()
    return counts if len(counts) == table.rows else [*counts] * table.rows


def _pass(
    table: AddressTable,
    program: Program,
    given: Sequence[Sequence[Any]],
    ends: array[int],
    sets: array[int],
) -> KernelLaunches:
    """Return one launch, for which each set of numbers is given."""
    bucket, device = table.bucket, table.bucket.key.device
    require_supported(program)
    is_tabled = len(given) > 1 and bool(given[0])
    numbers = list(given[0])
    signature = Signature(
        program,
        table.dtypes,
        bucket.steps[0].dtype,
        (None,) * len(numbers) if is_tabled else dtypes_of(numbers),
        None if bucket.found_inf is None else bucket.found_inf.dtype,
        is_tabled,
    )
    kernels = cuda_passes.compiled(signature, device) if program.stores else None
    if is_tabled:
        numbers = [tabled(given, device)]
    return KernelLaunches(kernels, numbers, ends, sets if is_tabled else array("i"))


def _run(table: AddressTable, passes: Sequence[KernelLaunches], assign: Callable[[], None]) -> None:
    device, found_inf = table.bucket.key.device, table.bucket.found_inf
    flag = [] if found_inf is None else [found_inf.to(device, non_blocking=True)]
    with torch.accelerator.device_index(device.index):
        # First, since a kernel that reads counters takes them for those of this step.
        _advance(table, flag)
        assign()
        for kernels, numbers, ends, sets in passes:
            addresses, chunks = launch_tables(table, ends, sets)
            total = chunks.shape[1]
            if total and kernels:  # nothing is launched for rows without elements
                common = (chunks, total, addresses, table.rows)
                kernels.launch(total, table.rows, common, (*flag, *numbers))


def _advance(table: AddressTable, flag: Sequence[Tensor]) -> None:
    """Add one to every step counter, unless the device says that the step is skipped."""
    steps = table.bucket.counters
    if not steps:
        return
    if flag:
        # Adds 0 where a gradient isn't finite, without waiting for the device.
        torch._foreach_add_(steps, (flag[0] == 0).to(steps[0].dtype).reshape(()))
    elif _counted_on_device(table.bucket):
        step_counters.advance(steps)
    else:
        table.advance()


def _counted_on_device(bucket: Bucket) -> bool:
    """Return whether a kernel reads the step counters, which the host then doesn't know."""
    on_host: bool = bucket.steps[0].is_cpu
    return bucket.key.capturable or bucket.found_inf is not None or not on_host


def _ends(table: AddressTable, chosen: Sequence[int]) -> array[int]:
    """Return the ends of the rows that are chosen, as if the others had no elements."""
    if min(chosen) >= 0:
        return table.ends
    sizes = [end - begin for begin, end in zip([0, *table.ends], table.ends, strict=False)]
    alike = (size * (position >= 0) for size, position in zip(sizes, chosen, strict=True))
    return array("q", accumulate(alike))
