"""Local parts: the plain tensors through which an elementwise algorithm steps DTensors.

What such an algorithm does with an element depends on that element alone, so a step of the part
that a rank holds is exact, and any implementation can take it. The state stays what it was, a
DTensor for each buffer, and checkpoints know of none of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from optkit_core import torch_private
from optkit_core.declaration.tensor_types import is_plain
from optkit_core.shards.local_state import LocalState
from optkit_core.shards.placements import has_plain_part, is_distributed
from optkit_core.step.buckets import Bucket


class LocalPart:
    """What this rank holds of a DTensor parameter, and of its gradient during a step.

    Args:
        whole: the parameter.
    """

    __slots__ = ("_mesh", "_noted", "_placements", "_shown", "tensor", "whole")

    def __init__(self, whole: Any) -> None:
        """Note which tensor the part is now."""
        self.whole = whole
        self._mesh, self._placements = whole.device_mesh, whole.placements
        self._noted = torch_private.local_part(whole)
        # An object of its own: its gradient is this class's affair, and not the caller's.
        self.tensor = self._noted.detach()
        self._shown: Tensor | None = None

    def is_current(self) -> bool:
        """Return whether the parameter still keeps its elements in the same tensor."""
        return torch_private.local_part(self.whole) is self._noted

    def follow(self) -> None:
        """Let the part be the tensor in which the parameter keeps its elements now."""
        if not self.is_current():
            self._noted = torch_private.local_part(self.whole)
            self.tensor.data = self._noted.detach()

    def show_gradient(self) -> None:
        """Give the part its share of the parameter's gradient of now.

        A gradient that is placed otherwise, partial sums for example, is redistributed, in which
        all ranks have to take part, and which happens once in a step.
        """
        gradient = self.whole.grad
        if gradient is not self._shown:
            self.tensor.grad = self._share_of(gradient)
            self._shown = gradient

    def hide_gradient(self) -> None:
        """Hold the gradient no longer: its memory is the caller's."""
        self.tensor.grad = self._shown = None

    def _share_of(self, gradient: Any) -> Tensor | None:
        if gradient is None or not _has_readable_part(gradient):
            return None
        if gradient.placements != self._placements or gradient.device_mesh != self._mesh:
            gradient = gradient.redistribute(self._mesh, self._placements)
        local: Any = torch_private.local_part(gradient)
        ready: Tensor = local if is_plain(local) else local.wait()
        return ready


class LocalParts:
    """The local parts of an optimizer's parameters, in the order of its groups."""

    def __init__(self) -> None:
        """Know of no parameter."""
        self._parts: dict[Tensor, LocalPart] = {}

    def note(self, param_groups: Iterable[Mapping[str, Any]]) -> None:
        """Find the parameters that have parts.

        Args:
            param_groups: the optimizer's groups.
        """
        distributed = [
            p for group in param_groups for p in group["params"] if has_plain_part(group, p)
        ]
        self._parts = {p: self._parts.get(p) or LocalPart(p) for p in distributed}

    def show_gradients(self) -> bool:
        """Give every part its gradient; return whether all parts are those that were noted."""
        parts, are_current = self._parts, True
        for p, part in parts.items():
            if not part.is_current():
                part, are_current = LocalPart(p), False
                parts[p] = part
            part.show_gradient()
        return are_current

    def hide_gradients(self) -> None:
        """Hold no gradient beyond the step."""
        for part in self._parts.values():
            part.hide_gradient()

    def take(self, p: Tensor, gradient: Tensor | None) -> bool:
        """Return whether a parameter with such a gradient is stepped by its part.

        Args:
            p: the parameter.
            gradient: its gradient, None where it has none.
        """
        return p in self._parts and (gradient is None or _has_readable_part(gradient))

    def part_of(self, p: Tensor) -> Tensor:
        """Return what stands for a parameter in a bucket: its part, or the parameter itself."""
        part = self._parts.get(p)
        return p if part is None else part.tensor

    def put_into(self, bucket: Bucket) -> None:
        """Let a bucket hold parts in place of what they are parts of.

        Args:
            bucket: parameters, gradients and states.
        """
        if not bucket.key.native or self._parts.keys().isdisjoint(bucket.params):
            return
        wholes = bucket.params
        bucket.params = [self.part_of(p) for p in wholes]
        bucket.shapes = [p.shape for p in bucket.params]
        bucket.grads = [g for g in (p.grad for p in bucket.params) if g is not None]
        bucket.states = self._states(wholes, bucket.states)

    def _states(
        self, wholes: Sequence[Tensor], states: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        pairs = zip(wholes, states, strict=True)
        return [LocalState(state) if p in self._parts else state for p, state in pairs]


def _has_readable_part(gradient: Any) -> bool:
    """Return whether a gradient is a DTensor whose elements can be had as a plain tensor."""
    if not is_distributed(gradient):
        return False
    local = torch_private.local_part(gradient)
    # What a collective returns is a promise at first, which has a method for it.
    return is_plain(local) or hasattr(local, "wait")
