"""Local parts: the plain tensors through which a body steps DTensors.

What an elementwise body does with an element depends on that element alone, so a step of the part
that a rank holds is exact, and any implementation can take it. What another body reduces is
completed over the mesh. The state stays what it was, a DTensor for each buffer, and checkpoints
know of none of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from optkit_core.declaration.tensor_types import is_plain
from optkit_core.selection.offer import Launch
from optkit_core.shards.completed_bodies import steps_part
from optkit_core.shards.local_part import LocalPart, has_readable_part
from optkit_core.shards.local_state import LocalState
from optkit_core.shards.placements import is_distributed, largest_part
from optkit_core.shards.sharded_rows import sharded_row
from optkit_core.step.buckets import Bucket
from optkit_core.step.step_plan import PlannedBucket


class LocalParts:
    """The local parts of an optimizer's parameters, in the order of its groups."""

    def __init__(self) -> None:
        """Know of no parameter."""
        self._parts: dict[Tensor, LocalPart] = {}
        self._are_shown = False
        self._are_hidden = True

    def note(
        self,
        algorithm: Any,
        param_groups: Iterable[Mapping[str, Any]],
        values: Mapping[int, SimpleNamespace],
    ) -> None:
        """Find the parameters that step by their parts.

        Args:
            algorithm: the optimizer's class.
            param_groups: its groups.
            values: their hyperparameters.
        """
        distributed = [
            p
            for index, group in enumerate(param_groups)
            for p in group["params"]
            if not is_plain(p) and steps_part(algorithm, group, values[index], p)
        ]
        self._parts = {p: self._parts.get(p) or LocalPart(p) for p in distributed}

    @property
    def are_any(self) -> bool:
        """Whether there is a parameter that is stepped by its part."""
        return bool(self._parts)

    def show_gradients(self) -> bool:
        """Give every part its gradient; return whether all parts are those that were noted."""
        parts, are_current = self._parts, True
        self._are_hidden = False
        for p, part in parts.items():
            if not part.is_current:
                parts[p] = part = LocalPart(p)
                are_current = False
            gradient: Any = p.grad
            if gradient is not part.shown:
                part.show(gradient)
        self._are_shown = are_current
        return are_current

    def are_shown(self) -> bool:
        """Give parts their gradients unless they have them; return whether all are as noted."""
        return self._are_shown or self.show_gradients()

    def hide_gradients(self) -> None:
        """Hold no gradient beyond the step: their memory is the caller's."""
        if self._are_hidden:
            return
        for part in self._parts.values():
            part.hide()
        self._are_shown, self._are_hidden = False, True

    def take(self, p: Tensor, gradient: Tensor | None) -> bool:
        """Return whether a parameter with such a gradient is stepped by its part.

        Args:
            p: the parameter.
            gradient: its gradient, None where it has none.
        """
        return p in self._parts and (gradient is None or has_readable_part(gradient))

    def part_of(self, p: Tensor) -> Tensor:
        """Return what stands for a parameter in a bucket: its part, or the parameter itself."""
        part = self._parts.get(p)
        return p if part is None else part.tensor

    def owned(self, params: Sequence[Tensor]) -> int | None:
        """Return how many DTensors this rank steps for all ranks: None, each steps its parts.

        Args:
            params: of a bucket.
        """
        return None

    @property
    def outlive_steps(self) -> bool:
        """Whether what stands for DTensors in buckets is there for the next step, too."""
        return True

    def are_in(self, bucket: Bucket) -> bool:
        """Return whether a bucket holds a DTensor, or the part of one."""
        parts = {id(part.tensor) for part in self._parts.values()}
        return any(id(p) in parts or is_distributed(p) for p in bucket.params)

    def put_into(self, planned: list[PlannedBucket]) -> list[PlannedBucket]:
        """Return planned buckets with parts in place of what they are parts of.

        Args:
            planned: the buckets, with their states.
        """
        for item in planned:
            self._put_into(item.bucket)
        return planned

    def surrounded(self, launches: list[tuple[bool, Launch]]) -> list[tuple[bool, Launch]]:
        """Return launches with what is communicated before and after them: here nothing is.

        Args:
            launches: what steps each bucket, and whether autograd records it.
        """
        return launches

    def _put_into(self, bucket: Bucket) -> None:
        if not bucket.key.native or self._parts.keys().isdisjoint(bucket.params):
            return
        wholes = bucket.params
        bucket.parts, bucket.show = [self._parts.get(p) for p in wholes], self.are_shown
        bucket.params = [self.part_of(p) for p in wholes]
        bucket.shapes = [p.shape for p in bucket.params]
        # What steps together is decided by sizes that all ranks know.
        bucket.sizes = [largest_part(p) if p in self._parts else p.numel() for p in wholes]
        bucket.grads = [g for g in (p.grad for p in bucket.params) if g is not None]
        if bucket.key.sharded:
            rows = enumerate(zip(wholes, bucket.states, strict=True))
            bucket.sharded = [sharded_row(position, p, state) for position, (p, state) in rows]
        bucket.states = self._states(wholes, bucket.states)

    def _states(
        self, wholes: Sequence[Tensor], states: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        pairs = zip(wholes, states, strict=True)
        return [LocalState(state) if p in self._parts else state for p, state in pairs]
