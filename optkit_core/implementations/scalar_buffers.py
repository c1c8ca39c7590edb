"""Scalar buffers in update bodies: numbers that are read, computed with and assigned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core import scalar_math
from optkit_core.declaration.buffers import Buffer
from optkit_core.implementations.autograd import Recorded
from optkit_core.implementations.bundle import Bundle
from optkit_core.implementations.operators import Operators, is_in_place
from optkit_core.step.buckets import Bucket
from optkit_core.tracing.scalar_program import TracedScalar


class ScalarCell:
    """A scalar buffer while an update body runs; memory is written when the body is done.

    Args:
        value: the number that a body reads: a float, or what stands for one.
        dtype: of the buffer, to which what is assigned is rounded.

    Attributes:
        is_assigned: whether the body has assigned it.
    """

    __slots__ = ("dtype", "is_assigned", "value")

    def __init__(self, value: Any, dtype: torch.dtype) -> None:
        """Begin with what memory holds."""
        self.value = value
        self.dtype = dtype
        self.is_assigned = False

    def assign(self, value: Any) -> None:
        """Take another number, rounded to what the buffer can hold."""
        self.value = _rounded(value, self.dtype)
        self.is_assigned = True


Cells = Mapping[str, ScalarCell]
"""The scalar buffers of a row, or of rows that share them, by name."""


class DeviceNumber(Bundle):
    """Numbers on a device, one for each tensor of a bundle; like any number, none ever changes."""

    def apply(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Apply a tensor method; what would be in place results in new tensors."""
        plain = method.removesuffix("_") if is_in_place(method) else method
        return super().apply(plain, *arguments, **keywords)


def read(state: Mapping[str, Any], names: Iterable[str]) -> tuple[float, ...]:
    """Return the numbers in a state; those on a device are waited for.

    Args:
        state: of one parameter.
        names: of the scalar buffers.
    """
    return tuple([state[name].item() for name in names])


def cells_of(
    state: Mapping[str, Any], names: Iterable[str], shown: Callable[[Tensor], Any] = Tensor.item
) -> dict[str, ScalarCell]:
    """Return the scalar buffers of a state as an update body sees them.

    Args:
        state: of one parameter.
        names: of the scalar buffers.
        shown: returns the number that a body reads of one's tensor. Default: Python's.
    """
    return {name: ScalarCell(shown(state[name]), state[name].dtype) for name in names}


def cells_on_device(states: Sequence[Mapping[str, Any]], names: Iterable[str]) -> Cells:
    """Return the scalar buffers of several states as bundles, of which no number is known.

    Args:
        states: of the parameters.
        names: of the scalar buffers.
    """
    columns = {name: [state[name] for state in states] for name in names}
    return {name: ScalarCell(DeviceNumber(c), c[0].dtype) for name, c in columns.items()}


def shared_cells(bucket: Bucket) -> Cells:
    """Return the scalar buffers of a bucket whose rows agree in them, or where the device has them.

    Args:
        bucket: the parameters, gradients and states.
    """
    if bucket.key.capturable:
        return cells_on_device(bucket.states, bucket.scalars)
    return cells_of(bucket.states[0], bucket.scalars)


def first_cells(buffers: Mapping[str, Buffer], h: Any) -> Cells:
    """Return scalar buffers as they are before a first step.

    Args:
        buffers: the declared ones by name.
        h: the hyperparameters as attributes.
    """
    scalars = {name: buffer for name, buffer in buffers.items() if buffer.is_scalar}
    starts = {
        n: getattr(h, b.init) if isinstance(b.init, str) else b.init for n, b in scalars.items()
    }
    # Which dtype a parameter gives to one that declares none changes no instruction.
    return {
        n: ScalarCell(float(starts[n]), b.fixed_dtype or torch.float64) for n, b in scalars.items()
    }


def store(states: Sequence[Mapping[str, Any]], cells: Cells) -> None:
    """Write what a body has assigned to memory.

    Args:
        states: of the parameters that share these scalar buffers.
        cells: the scalar buffers.
    """
    for name, cell in cells.items():
        if not cell.is_assigned:
            continue
        if isinstance(cell.value, Bundle):
            for state, number in zip(states, cell.value.tensors, strict=True):
                state[name].copy_(number)
        else:
            for state in states:
                state[name].fill_(cell.value)


def _rounded(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):  # computed with a learning rate that is one
        value = Recorded(value) if value.requires_grad else value.item()
    if isinstance(value, Operators):
        # A copy: what is assigned may be another buffer's memory, which is written to later.
        own = value.to(dtype, copy=True)
        return DeviceNumber(own.tensors) if isinstance(own, Bundle) else own
    if dtype == torch.float32:
        return scalar_math.float32(value)
    if dtype == torch.float64:
        return value if isinstance(value, TracedScalar) else float(value)
    return torch.tensor(float(value), dtype=dtype).item()
