"""Plans: what runs the buckets of an optimizer, kept from step to step while it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from torch import Tensor

from optkit_core.selection.offer import Launch, UpdateBody
from optkit_core.selection.select_implementation import Choice
from optkit_core.step.buckets import Bucket, Change
from optkit_core.step.detect_changes import WatchedGroups, WatchedStates, native_reader
from optkit_core.step.grad_scaler import Scaling
from optkit_core.step.group_values import GroupOwner, GroupValues


@attrs.define(eq=False)
class PlannedBucket:
    """A bucket and what runs it.

    Args:
        bucket: the parameters, gradients and states.
        choice: what runs it.
        body: what is run; None (default): the update body of the optimizer's class.
    """

    bucket: Bucket
    choice: Choice
    body: Any = None

    def holds(self) -> bool:
        """Return whether the bucket is as it was apart from its values; it takes new gradients."""
        asked = self.choice.offer.holds
        return self.bucket.refresh() if asked is None else asked(self.bucket)

    def renew(self) -> None:
        """Take in values that have changed since `holds`, and forget what doesn't go with them."""
        if not self.bucket.takes_in_values():
            self.bucket.kept = None
            self.bucket.refresh()

    def tell(self, changed: Sequence[Change]) -> None:
        """Let what keeps the groups' values know which of them have changed."""
        if self.choice.offer.holds is not None:
            self.bucket.changed.extend(changed)


class PlannedOptimizer(GroupOwner, Protocol):
    """What a plan needs of its optimizer."""

    @property
    def state(self) -> Mapping[Tensor, dict[str, Any]]:
        """The states of all parameters."""

    def accept_change(self, index: int, name: str) -> bool:
        """Check a value of a group that has changed; return whether the plan may go on."""


class BucketOptimizer(PlannedOptimizer, UpdateBody, Protocol):
    """What a compiled step needs of an optimizer that steps by buckets."""

    scaling: Scaling

    def require_ready(self) -> None:
        """Raise where no step can be taken now."""

    def take_scaling(self) -> None:
        """Take what a scaler has handed over."""

    def check_groups(self) -> None:
        """Check the values of all groups."""

    def plan_buckets(self, values: GroupValues, is_compiled: bool = False) -> list[PlannedBucket]:
        """Return the buckets of all groups, with what runs each."""

    def hide_gradients(self) -> None:
        """Hold no gradient of a DTensor's part beyond the step."""

    def launch(self, item: PlannedBucket) -> Launch:
        """Return what steps a bucket."""

    def surrounded(self, launches: list[tuple[bool, Launch]]) -> list[tuple[bool, Launch]]:
        """Return launches with what is communicated before and after them."""


class StepPlan:
    """The buckets of an optimizer with what runs each, and what they were made from.

    Args:
        optimizer: whose plan it is.
        values: the hyperparameters of its groups.
        planned: the buckets.

    Attributes:
        is_ready: whether everything that a step needs has been there once.
    """

    def __init__(
        self, optimizer: PlannedOptimizer, values: GroupValues, planned: Sequence[PlannedBucket]
    ) -> None:
        """Note what is to stay as it is for the plan to hold."""
        self.planned = planned
        self.is_ready = False
        self.values = values
        # Without a reader nothing notices changes, and every step is planned anew.
        reader = native_reader() if any(p.choice.offer.holds for p in planned) else None
        self._watched = (
            None
            if reader is None
            else (
                WatchedGroups(optimizer.param_groups, reader),
                WatchedStates(optimizer.state, reader),
            )
        )

    def holds(self, optimizer: PlannedOptimizer) -> bool:
        """Return whether the plan still describes the optimizer; takes in changed values.

        Raises:
            HyperparameterError: a group has a value that the constructor refuses.
        """
        if self._watched is None:
            return False
        groups, states = self._watched
        changes = groups.changes(optimizer.param_groups)
        if changes is None or not states.hold(optimizer.state):
            return False
        self.values.forget()  # before the buckets are asked, which may look values up
        return self._take_in(optimizer, groups, changes) and all(
            item.holds() for item in self.planned
        )

    def _take_in(
        self, optimizer: PlannedOptimizer, groups: WatchedGroups, changes: Sequence[int]
    ) -> bool:
        """Check values that have changed; return whether what is planned stays all the same."""
        if not changes:
            return True
        entries = list(map(groups.entry, changes))
        if not all(optimizer.accept_change(*entry) for entry in entries):
            return False
        self._tell(groups, changes)
        return True

    def has_buffers(self, index: int, names_of: Callable[[Tensor], tuple[str, ...]]) -> bool:
        """Return whether the parameters of a group have the buffers that it counts on.

        Args:
            index: of the group.
            names_of: tells the names of a parameter's buffers.
        """
        return all(
            names_of(p) == item.bucket.names
            for item in self.planned
            if item.body is None
            for p, group in zip(item.bucket.params, item.bucket.groups, strict=True)
            if group == index
        )

    def renew_values(self, optimizer: PlannedOptimizer) -> None:
        """Take in values that the optimizer itself has just put into its groups."""
        self.values.forget()
        if self._watched is not None:
            groups, _ = self._watched
            self._tell(groups, groups.changes(optimizer.param_groups) or ())

    def _tell(self, groups: WatchedGroups, changes: Iterable[int]) -> None:
        changed = [(*groups.entry(index), groups.renew(index)) for index in changes]
        for item in self.planned:
            item.tell(changed)

    def release_gradients(self) -> bool:
        """Forget the gradients of the step; return whether the plan may serve another one."""
        for item in self.planned:
            # Kept here, they would hold their memory beyond `zero_grad(set_to_none=True)`.
            item.bucket.grads.clear()
        # What a body does in a buffer's first step it does but once.
        is_first = any(item.bucket.is_new for item in self.planned)
        return self._watched is not None and not is_first

    @property
    def sees_to_skipping(self) -> bool:
        """Whether every bucket changes nothing by itself where a gradient isn't finite."""
        # The host has to know whether a buffer has begun, what scalar buffers become, and what
        # has been measured.
        return all(
            p.bucket.key.device.type in p.choice.offer.skips
            and not (p.bucket.is_new or p.bucket.scalars or p.body)
            for p in self.planned
        )
