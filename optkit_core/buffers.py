"""Buffers: the state tensors that an algorithm declares, and how they come to be.

A declaration is a class attribute, ``exp_avg = Buffer()``. Its name is the key in
``optimizer.state[p]``, and so in checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

STEP = "step"


@attrs.frozen(eq=False)
class Buffer:
    """One state tensor for each parameter, of the parameter's shape.

    Args:
        init: the value that every element starts from: a number, or the name of the
            hyperparameter that holds it.
        doc: one phrase, shown by `optkit.describe`.
        dtype: a floating dtype, for a complex parameter that of its parts; None (default):
            the parameter's.

    >>> import torch
    >>> Buffer(init=0.5).allocate(torch.zeros(2, dtype=torch.float64), {})
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    init: float | str = 0.0
    doc: str = ""
    dtype: torch.dtype | None = None

    def allocate(self, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
        """Return the buffer for `parameter` before its first step.

        A complex buffer has the initial value in both its real and its imaginary part,
        since complex parameters are stepped as pairs of real numbers.
        """
        value = group[self.init] if isinstance(self.init, str) else self.init
        buffer = torch.zeros_like(
            parameter, dtype=self._dtype_for(parameter), memory_format=torch.preserve_format
        )
        if value != 0:
            (torch.view_as_real(buffer) if buffer.is_complex() else buffer).fill_(value)
        return buffer.detach()

    def _dtype_for(self, parameter: Tensor) -> torch.dtype:
        if self.dtype is None:
            return parameter.dtype
        return self.dtype.to_complex() if parameter.is_complex() else self.dtype


def collect(cls: type) -> dict[str, Buffer]:
    """Return the buffers that `cls` and its bases declare, bases first."""
    found: dict[str, Buffer] = {}
    for base in reversed(cls.__mro__):
        found.update({k: v for k, v in vars(base).items() if isinstance(v, Buffer)})
    return found


def step_dtype() -> torch.dtype:
    """Return the dtype of step counters: float32, or float64 where that is the default."""
    wide = torch.get_default_dtype() == torch.float64
    return torch.float64 if wide else torch.float32


def step_counter(value: float, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
    """Return a step counter; on the parameter's device where steps are to be captured."""
    device = parameter.device if group.get("capturable") else torch.device("cpu")
    return torch.tensor(value, dtype=step_dtype(), device=device)


def allocate(
    buffers: Mapping[str, Buffer], parameter: Tensor, group: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return a whole new state for `parameter`: its step counter and every buffer."""
    state = {STEP: step_counter(0.0, parameter, group)}
    state.update({name: item.allocate(parameter, group) for name, item in buffers.items()})
    return state
