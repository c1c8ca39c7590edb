"""Plans: what runs the buckets of an optimizer, kept from step to step while it holds."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from optkit_core.selection.selector import Choice
from optkit_core.step.buckets import Bucket, Change
from optkit_core.step.changes import WatchedGroups, WatchedStates, native_reader

if TYPE_CHECKING:
    from optkit_core.elementwise import Elementwise


@attrs.define(eq=False)
class Planned:
    """A bucket and what runs it."""

    bucket: Bucket
    choice: Choice

    def holds(self) -> bool:
        """Return whether the bucket is as it was apart from its values; it takes new gradients."""
        asked = self.choice.offer.holds
        return self.bucket.refresh() if asked is None else asked(self.bucket)

    def tell(self, changed: Sequence[Change]) -> None:
        """Let what keeps the groups' values know which of them have changed."""
        if self.choice.offer.holds is not None:
            self.bucket.changed.extend(changed)


class GroupValues(Mapping[int, Any]):
    """The hyperparameters of each group as attributes, looked up when somebody asks."""

    def __init__(self, optimizer: Any) -> None:
        """Look into this optimizer's groups; the optimizer keeps what keeps these, so no cycle."""
        self._optimizer = weakref.ref(optimizer)
        self._groups: list[dict[str, Any]] = optimizer.param_groups
        self._found: dict[int, Any] = {}

    def __getitem__(self, index: int) -> Any:
        """Return those of one group."""
        found = self._found.get(index)
        if found is None:
            optimizer: Any = self._optimizer()
            found = self._found[index] = optimizer.values(self._groups[index])
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._groups)))

    def __len__(self) -> int:
        return len(self._groups)

    def forget(self) -> None:
        """Look into the groups anew from now on."""
        self._found.clear()


class Plan:
    """The buckets of an optimizer with what runs each, and what they were made from.

    Args:
        optimizer: whose plan it is.
        values: the hyperparameters of its groups.
        planned: the buckets.
    """

    def __init__(
        self, optimizer: Elementwise, values: GroupValues, planned: Sequence[Planned]
    ) -> None:
        """Note what is to stay as it is for the plan to hold."""
        self.planned = planned
        self.values = values
        reader = native_reader() if any(p.choice.offer.holds for p in planned) else None
        self._watched = (
            None
            if reader is None
            else (
                WatchedGroups(optimizer.param_groups, reader),
                WatchedStates(optimizer.state, reader),
            )
        )

    def holds(self, optimizer: Elementwise) -> bool:
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
        self.values.forget()
        return self._take_in(optimizer, groups, changes) and all(
            item.holds() for item in self.planned
        )

    def _take_in(
        self, optimizer: Elementwise, groups: WatchedGroups, changes: Sequence[int]
    ) -> bool:
        """Check values that have changed; return whether what is planned stays all the same."""
        if not changes:
            return True
        entries = list(map(groups.entry, changes))
        if not all(optimizer.accept_change(*entry) for entry in entries):
            return False
        changed = [
            (*entry, groups.renew(place)) for entry, place in zip(entries, changes, strict=True)
        ]
        for item in self.planned:
            item.tell(changed)
        return True

    def release_gradients(self) -> bool:
        """Forget the gradients of the step; return whether the plan may serve another one."""
        for item in self.planned:
            item.bucket.grads.clear()
        return self._watched is not None

    @property
    def sees_to_skipping(self) -> bool:
        """Whether every bucket changes nothing by itself where a gradient isn't finite."""
        return all(p.bucket.kind.device.type in p.choice.offer.skips for p in self.planned)
