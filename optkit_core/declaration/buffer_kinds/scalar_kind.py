"""Buffers that are one number for each parameter, the step counter among them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.buffer_kinds.kind import Group, Mismatch
from optkit_core.declaration.buffer_kinds.tensor_kinds import TensorKind
from optkit_core.declaration.tensor_types import dtype_name

STEP = "step"
"""The name of the step counter in every state."""

LARGEST_COUNT = 2**53
"""Up to here every whole number is a float64."""


class ScalarKind(TensorKind):
    """A tensor of one number."""

    name = "scalar"
    shape_rule = "one number"
    device_rule = "cpu; the parameter's if capturable"

    def shape_of(self, parameter: Tensor) -> torch.Size:
        """Return the shape of a number."""
        return torch.Size()

    def device_of(self, parameter: Tensor, group: Group) -> torch.device:
        """Return the CPU, unless a graph is to capture the step."""
        # Read on the host at every step; on the device that would wait for it each time.
        return parameter.device if group.get("capturable") else torch.device("cpu")

    def empty(self, parameter: Tensor, group: Group) -> Tensor:
        """Return a number, which is no part of a distributed parameter."""
        # Not parameter.new_empty: of a DTensor that is a DTensor.
        dtype, device = self.dtype_of(parameter), self.device_of(parameter, group)
        return torch.empty((), dtype=dtype, device=device)

    def allocate_all(self, value: Any, params: Sequence[Tensor], group: Group) -> list[Any]:
        """Return tensors of one number, each of them made by one call."""
        dtype, number = self.dtype_of(params[0]), float(value)
        if group.get("capturable"):
            devices = [self.device_of(p, group) for p in params]
        else:
            devices = [torch.device("cpu")] * len(params)
        # Clones of what tensor() makes take a third of its time, and fake ones know their value.
        first = {d: torch.tensor(number, dtype=dtype, device=d) for d in dict.fromkeys(devices)}
        return [first[device].clone() for device in devices]

    def mismatches(self, value: Any, parameter: Tensor) -> Iterator[Mismatch]:
        """Say why a saved value isn't one number, or no number of steps for the step counter."""
        reason = _not_a_number(value)
        if reason:
            yield Mismatch(reason)
        elif self.buffer_name == STEP and not _is_count(number := _number(value)):
            yield Mismatch(f"must be a whole number of steps, got {number!r:.40}")
        elif _is_too_large(value, self.dtype_of(parameter)):
            yield Mismatch(f"must be one number, got {value!r:.40}, which is too large")

    def check_keys(
        self, values: Sequence[Any], parameter_keys: Sequence[int]
    ) -> Iterator[Hashable]:
        """Return the numbers themselves, whatever the parameters are.

        Raises:
            RuntimeError: they aren't numbers of one dtype on one device.
        """
        # One transfer for all: item() of each would wait once per parameter.
        stacked = torch.stack([*values])
        if stacked.dim() > 1 or len({t.dtype for t in values}) > 1:
            raise RuntimeError("not all of these tensors are numbers of one dtype")
        return iter(stacked.tolist())

    def as_tensors(
        self, values: Sequence[Any], params: Sequence[Tensor], groups: Sequence[Group]
    ) -> Sequence[Tensor]:
        """Return tensors of saved numbers, of which some may be Python's."""
        return [
            value if isinstance(value, Tensor) else self.empty(p, group).fill_(value)
            for value, p, group in zip(values, params, groups, strict=True)
        ]


def _not_a_number(value: Any) -> str | None:
    if isinstance(value, Tensor):
        if value.shape != () or value.dtype == torch.bool or value.is_complex():
            shape = list(value.shape)
            return f"must be one number, got a {dtype_name(value.dtype)} tensor of shape {shape}"
        if value.layout != torch.strided or value.device.type == "meta":
            return "must be one number, got a tensor without a value"
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"must be one number, got {value!r:.40}"
    return None


def _is_too_large(value: Any, dtype: torch.dtype) -> bool:
    """Whether a finite number of Python's is beyond the largest one of a dtype."""
    limit = torch.finfo(dtype).max
    return not isinstance(value, Tensor) and limit < abs(value) < math.inf


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _is_count(value: float) -> bool:
    # NaN and infinity fail the comparison, before floor() would raise for them.
    return 0 <= value <= LARGEST_COUNT and math.floor(value) == value
