"""Held parts: the plain tensors that stand for an optimizer's parameters in its blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from optkit_core import LocalPart, has_plain_part


class HeldParts:
    """What this rank holds of each DTensor: a plain tensor for blocks to copy from and into.

    Args:
        param_groups: the optimizer's groups.
    """

    def __init__(self, param_groups: Sequence[Mapping[str, Any]]) -> None:
        """Find the DTensors."""
        wholes = [(group, p) for group in param_groups for p in group["params"]]
        self._parts = {p: LocalPart(p) for group, p in wholes if has_plain_part(group, p)}

    @classmethod
    def of(cls, param_groups: Sequence[Mapping[str, Any]]) -> HeldParts | None:
        """Return the parts of an optimizer's parameters, None where there is no DTensor."""
        held = cls(param_groups)
        return held if held._parts else None

    def part_of(self, p: Tensor) -> Tensor:
        """Return what stands for a parameter: its part, or the parameter itself."""
        part = self._parts.get(p)
        return p if part is None else part.tensor

    def follow(self) -> None:
        """Find the elements again, which an engine may keep elsewhere by now."""
        for part in self._parts.values():
            part.follow()

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Let every part have its share of the parameter's gradient in the ``with`` block.

        A gradient that is placed otherwise is redistributed, in which all ranks have to take part.
        """
        try:
            for part in self._parts.values():
                part.follow()
                part.show(part.whole.grad)
            yield
        finally:
            for part in self._parts.values():
                part.hide()

    def return_gradients(self) -> None:
        """Give the parameters the gradients that their parts have now."""
        for whole, part in self._parts.items():
            local, gradient = part.tensor.grad, whole.grad
            if local is not None and gradient is not None:
                whole.grad = distributed_like(whole, local)


def distributed_like(whole: Any, local: Tensor) -> Tensor:
    """Return a DTensor that is distributed like another one.

    Args:
        whole: the other one.
        local: this rank's elements, which may be pairs where that has complex ones.
    """
    shape = torch.Size([*whole.shape, *local.shape[whole.dim() :]])
    made: Tensor = type(whole.data).from_local(
        local,
        whole.device_mesh,
        whole.placements,
        run_check=False,
        shape=shape,
        stride=torch.empty(shape, device="meta").stride(),
    )
    return made
