"""Numbers as launches on a device take them: arguments, or tables in its memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.implementations.fused.device_table import numbers_on_device


def tabled(given: Sequence[Sequence[Any]], device: torch.device) -> Tensor:
    """Return sets of numbers on the device, float64; those that lie there needn't be read.

    Args:
        given: the sets.
        device: where they are to be.
    """
    plain = (0.0 if isinstance(number, Tensor) else number for each in given for number in each)
    table = numbers_on_device(array("d", plain), device)
    for column_index, column in enumerate(zip(*given, strict=True)):
        if isinstance(column[0], Tensor):
            # One tensor for all groups, as of a learning rate, is one copy.
            is_same = all(number is column[0] for number in column)
            values = column[0] if is_same else torch.stack([n.reshape(()) for n in column])
            table[column_index :: len(given[0])] = values
    return table


def dtypes_of(numbers: Sequence[Any]) -> tuple[torch.dtype | None, ...]:
    """Return the dtypes of the numbers that are tensors, None for those of the host."""
    return tuple([number.dtype if isinstance(number, Tensor) else None for number in numbers])


def on(device: torch.device, number: Any) -> Any:
    """Return a number as a launch takes it: on the host, or in the memory of the device.

    Args:
        device: where the kernel runs.
        number: a Python number, or a tensor of one element.
    """
    if not isinstance(number, Tensor):
        return float(number)
    if number.is_cpu and device.type != "cpu":
        return number.item()
    return number.to(device, non_blocking=True)
