"""Plans: which buckets a group has and what runs each, kept from step to step while they hold."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from torch import Tensor

from optkit_core.buckets import Bucket
from optkit_core.selector import Choice

if TYPE_CHECKING:
    from optkit_core.implementations.fused.native import Reader

MODES = ("implementation", "foreach", "fused", "maximize", "differentiable", "capturable")
"""Options of a group that decide about its buckets."""


@attrs.define(eq=False)
class Planned:
    """A bucket and what runs it."""

    bucket: Bucket
    choice: Choice

    def holds(self) -> bool:
        """Return whether the bucket is as it was apart from its values; it takes new gradients."""
        asked = self.choice.offer.holds
        return self.bucket.refresh() if asked is None else asked(self.bucket)


class GroupPlan:
    """What is planned for one group, and what it was made from.

    Args:
        group: the parameter group.
        planned: its buckets with what runs them.
    """

    def __init__(self, group: dict[str, Any], planned: Sequence[Planned]) -> None:
        """Note what is to stay as it is for the plan to hold."""
        self.planned = planned
        self.modes = modes(group)
        reader = native_reader() if any(p.choice.offer.holds for p in planned) else None
        self.watched = WatchedGroup(group["params"], reader) if reader else None

    def holds(self, group: dict[str, Any]) -> bool:
        """Return whether the plan still describes the group."""
        return (
            self.watched is not None
            and self.modes == modes(group)
            and self.watched.holds(group["params"])
            and all(item.holds() for item in self.planned)
        )

    @property
    def sees_to_skipping(self) -> bool:
        """Whether every bucket changes nothing by itself where a gradient isn't finite."""
        return all(p.bucket.kind.device.type in p.choice.offer.skips for p in self.planned)


class WatchedGroup:
    """A group's list of parameters, and those of them that have no gradient."""

    def __init__(self, params: list[Tensor], reader: Reader) -> None:
        """Note which parameters there are."""
        self._reader = reader
        self._params = list(params)
        self._places = array("Q", map(id, params))
        self._without = reader.places([p for p in params if p.grad is None])

    def holds(self, params: list[Tensor]) -> bool:
        """Return whether the list is the same, and the same parameters have no gradient."""
        place, count = self._places.buffer_info()
        reader, (without, lacking) = self._reader, self._without.buffer_info()
        return bool(
            type(params) is list
            and reader.same_list(reader.api, params, place, count)
            and reader.without_gradients(reader.api, without, lacking)
        )


class WatchedStates:
    """The state dicts of all parameters of an optimizer."""

    def __init__(self, states: dict[Tensor, dict[str, Any]]) -> None:
        """Note which dicts there are."""
        self._dicts = list(states.values())
        self._places = array("Q", map(id, self._dicts))

    def holds(self, states: dict[Tensor, dict[str, Any]]) -> bool:
        """Return whether they are the same dicts, whatever they hold."""
        reader = native_reader()
        place, count = self._places.buffer_info()
        return reader is not None and bool(reader.same_values(reader.api, states, place, count))


def modes(group: dict[str, Any]) -> tuple[Any, ...]:
    """Return the options of a group that decide about its buckets."""
    return tuple([group.get(name) for name in MODES])


def native_reader() -> Reader | None:
    """Return what notices changes in nanoseconds, or None where it can't be used."""
    from optkit_core.implementations.fused.native import reader

    return reader()
