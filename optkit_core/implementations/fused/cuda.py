"""``fused`` on CUDA: the update body as one Triton kernel for all elements of a bucket."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache, partial
from importlib.util import find_spec
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optkit_core.buckets import Bucket, Kind
from optkit_core.buffers import STEP
from optkit_core.errors import UnavailableError
from optkit_core.implementations import counting
from optkit_core.implementations.fused import parts, triton_source
from optkit_core.implementations.fused.device_table import on_device
from optkit_core.implementations.fused.parts import Launch, holds
from optkit_core.implementations.fused.table import Table
from optkit_core.implementations.fused.trace import trace
from optkit_core.implementations.fused.triton_kernel import compiled
from optkit_core.implementations.fused.triton_source import TYPES, Signature

__all__ = ["holds", "prepare", "refuse", "source"]

OLDEST = (7, 5)
"""The compute capability from which on Triton compiles for a device."""


COUNTED_IN = torch.float64
"""The dtype of step counters that `source` writes a kernel for."""


class Pass(NamedTuple):
    """One launch of a kernel.

    Args:
        kernel: the compiled function; None where the body changes nothing.
        numbers: what it is given, host numbers and tensors on the device.
        ends: elements up to the end of each row, counting only the rows to be stepped.
    """

    kernel: Any
    numbers: list[Any]
    ends: array[int]


def prepare(algorithm: Any, bucket: Bucket, h: Any) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Raises:
        UnavailableError: there is no kernel for what the body does with these hyperparameters.
    """
    _settle_counters(bucket)
    return parts.prepare(bucket, tuple(algorithm.buffers), partial(_launch, algorithm, h))


def refuse(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return why no kernel can step a kind of bucket, or an empty string."""
    try:
        parts.expected_dtypes(algorithm, kind, TYPES)
        trace(algorithm, h, None if kind.capturable else 1.0)
    except UnavailableError as error:
        return str(error)
    return refuse_device(kind.device)


def source(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return the Triton source of the kernel that steps a kind of bucket."""
    dtypes = parts.expected_dtypes(algorithm, kind, TYPES)
    program, numbers = trace(algorithm, h, None if kind.capturable else 1.0)
    return triton_source.source(Signature(program, dtypes, COUNTED_IN, _dtypes(numbers), None))


@cache
def refuse_device(device: torch.device) -> str:
    """Return why Triton's kernels can't run on a device, or an empty string."""
    if torch.version.hip:
        return "the kernels are for CUDA; how ROCm rounds in them is unknown"
    if find_spec("triton") is None:
        return "Triton isn't installed; pip install triton"
    found = torch.cuda.get_device_capability(device)
    if found < OLDEST:
        return f"Triton compiles for compute capability {OLDEST} and newer, not for {found}"
    return ""


def _settle_counters(bucket: Bucket) -> None:
    """Have all step counters on the device, if any is, or if the device may skip the step.

    Raises:
        UnavailableError: they are of several dtypes.
    """
    if bucket.kept is not None and bucket.found_inf is None:
        return
    device, steps = bucket.kind.device, bucket.steps
    is_away = [step.device != device for step in steps]
    if any(is_away) and (bucket.found_inf is not None or not all(is_away)):
        for state in bucket.states:
            state[STEP] = state[STEP].to(device, non_blocking=True)
        bucket.kept = None
    if any(step.dtype != steps[0].dtype for step in steps):
        raise UnavailableError("the step counters are of several dtypes")


def _launch(algorithm: Any, h: Any, table: Table) -> Launch:
    """Return what steps the rows of a table: one launch for all that have the same count."""
    counts = [None] if _counted_on_device(table.bucket) else table.next_counts()
    passes = [
        _pass(algorithm, h, table, count, _ends(table, counts, count))
        for count in dict.fromkeys(counts)
    ]
    return partial(_run, table, passes)


def _pass(algorithm: Any, h: Any, table: Table, t: float | None, ends: array[int]) -> Pass:
    bucket = table.bucket
    parts.require_known(table.dtypes, TYPES)
    program, given = trace(algorithm, h, t, bucket.maximize, bucket.inverse_scale)
    numbers = [on(bucket.kind.device, number) for number in given]
    signature = Signature(
        program,
        table.dtypes,
        bucket.states[0][STEP].dtype,
        _dtypes(numbers),
        None if bucket.found_inf is None else bucket.found_inf.dtype,
    )
    found = compiled(signature, bucket.kind.device) if program.stores else None
    return Pass(found, numbers, ends)


def _dtypes(numbers: Sequence[Any]) -> tuple[torch.dtype | None, ...]:
    """Return the dtypes of the numbers that are tensors, None for those of the host."""
    return tuple([number.dtype if isinstance(number, Tensor) else None for number in numbers])


def _run(table: Table, passes: Sequence[Pass]) -> None:
    device, found_inf = table.bucket.kind.device, table.bucket.found_inf
    flag = [] if found_inf is None else [found_inf.to(device, non_blocking=True)]
    with torch.accelerator.device_index(device.index):
        _advance(table, flag)
        for kernel, numbers, ends in passes:
            addresses, chunks = on_device(table, ends)
            total = chunks.shape[1]
            if total and kernel:
                arguments = (chunks, total, addresses, table.rows, *flag, *numbers)
                kernel[total, 1, 1](*arguments)


def _advance(table: Table, flag: Sequence[Tensor]) -> None:
    """Add one to every step counter, unless the device says that the step is skipped."""
    steps = table.bucket.steps
    if flag:
        torch._foreach_add_(steps, (flag[0] == 0).to(steps[0].dtype).reshape(()))
    elif _counted_on_device(table.bucket):
        counting.advance(steps)
    else:
        table.advance()


def _counted_on_device(bucket: Bucket) -> bool:
    """Return whether a kernel reads the step counters, which the host then doesn't know."""
    on_host: bool = bucket.states[0][STEP].is_cpu
    return bucket.kind.capturable or bucket.found_inf is not None or not on_host


def _ends(table: Table, counts: Sequence[float | None], count: float | None) -> array[int]:
    """Return the ends of the rows that have a count, as if the others had no elements."""
    if len(counts) == 1:
        return table.ends
    sizes = [end - begin for begin, end in zip([0, *table.ends], table.ends, strict=False)]
    alike = (size * (other == count) for size, other in zip(sizes, counts, strict=True))
    return array("q", accumulate(alike))


def on(device: torch.device, number: Any) -> Any:
    """Return a number as a launch takes it: on the host, or in the memory of the device."""
    if not isinstance(number, Tensor):
        return float(number)
    if number.is_cpu and device.type != "cpu":
        return number.item()
    return number.to(device, non_blocking=True)
