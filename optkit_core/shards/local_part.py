"""A local part: the plain tensor through which a body steps one DTensor."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import torch_private
from optkit_core.declaration.tensor_types import is_plain
from optkit_core.shards.placements import is_distributed


class LocalPart:
    """What this rank holds of a DTensor parameter, and of its gradient during a step.

    Args:
        whole: the parameter.

    Attributes:
        noted: the tensor in which the parameter kept its elements when this was made.
        tensor: the part, a plain tensor that shares its memory.
        shown: the gradient of which `tensor` has its share now, None where it has none.
        fitting: what says where the last shown gradient is placed, if its share can be read
            from it as it is.
    """

    __slots__ = ("_mesh", "_placements", "fitting", "noted", "shown", "tensor", "whole")

    def __init__(self, whole: Any) -> None:
        """Note which tensor the part is now."""
        self.whole = whole
        self._mesh, self._placements = whole.device_mesh, whole.placements
        self.noted = torch_private.local_part(whole)
        # An object of its own: its gradient is this class's affair, and not the caller's.
        self.tensor = self.noted.detach()
        self.shown: Tensor | None = None
        # Engines and autograd give each gradient the same object for where it is placed.
        self.fitting: Any = None

    @property
    def is_current(self) -> bool:
        """Whether the parameter still keeps its elements where it was noted."""
        return torch_private.local_part(self.whole) is self.noted

    def follow(self) -> None:
        """Let the part be the tensor in which the parameter keeps its elements now."""
        now = torch_private.local_part(self.whole)
        if now is not self.noted:
            self.noted = now
            self.tensor.data = now.detach()

    def hide(self) -> None:
        """Hold the gradient no longer: its memory is the caller's."""
        self.tensor.grad = self.shown = None

    def show(self, gradient: Any) -> None:
        """Give the part its share of the parameter's gradient of now.

        A gradient that is placed otherwise, partial sums for example, is redistributed, in which
        all ranks have to take part, and which happens once in a step.

        Args:
            gradient: a DTensor, or None.
        """
        self.tensor.grad = self._share_of(gradient)
        self.shown = gradient

    def current_share(self) -> Tensor | None:
        """Return what the part has been given as its gradient, or what it would be given."""
        gradient: Any = self.whole.grad
        if gradient is None or self.tensor.grad is not None:
            return self.tensor.grad
        return getattr(gradient, torch_private.LOCAL_PART, None)

    def _share_of(self, gradient: Any) -> Tensor | None:
        self.fitting = None
        if gradient is None or not has_readable_part(gradient):
            return None
        if gradient.placements != self._placements or gradient.device_mesh != self._mesh:
            gradient = gradient.redistribute(self._mesh, self._placements)
        else:
            self.fitting = torch_private.spec_of(gradient)
        local: Any = torch_private.local_part(gradient)
        ready: Tensor = local if is_plain(local) else local.wait()
        return ready


def has_readable_part(gradient: Any) -> bool:
    """Return whether a gradient is a DTensor whose elements can be had as a plain tensor.

    Args:
        gradient: any tensor.
    """
    if not is_distributed(gradient):
        return False
    local = torch_private.local_part(gradient)
    # What a collective returns is a promise at first, which has a method for it.
    return is_plain(local) or hasattr(local, "wait")
