"""What notices changes between steps: an optimizer's groups and the dicts of its state."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from optkit_core.native.reader import Reader


class WatchedGroups:
    """The parameter groups of an optimizer, and the parameters that have no gradient.

    Args:
        param_groups: the optimizer's list of groups.
        reader: what compares them.
    """

    def __init__(self, param_groups: list[dict[str, Any]], reader: Reader) -> None:
        """Note what the groups hold now."""
        from optkit_core.native.structures import GroupsStruct

        self._groups, self._reader = param_groups, reader
        self._dicts = list(param_groups)
        self._entries = [(i, key) for i, group in enumerate(param_groups) for key in group]
        self._values = [value for group in param_groups for value in group.values()]
        self._lists = [group["params"] for group in param_groups]
        self._params = list(chain.from_iterable(self._lists))
        self._lacking = [p for p in self._params if p.grad is None]
        self._places = addresses(self._values)
        self.changed = array("q", bytes(8 * len(self._values)))
        self._arrays = (
            addresses(self._dicts),
            array("q", map(len, self._dicts)),
            addresses([key for _, key in self._entries]),
            self._places,
            addresses(self._lists),
            array("q", map(len, self._lists)),
            addresses(self._params),
            addresses(self._lacking),
            self.changed,
        )
        self._noted = GroupsStruct(
            len(self._dicts),
            len(self._lacking),
            id(param_groups),
            *(values.buffer_info()[0] for values in self._arrays),
        )
        self._place = ctypes.addressof(self._noted)

    def changes(self, param_groups: list[dict[str, Any]]) -> Sequence[int] | None:
        """Return which values are others than they were; None where more than that has changed.

        Args:
            param_groups: the optimizer's list of groups.
        """
        if param_groups is not self._groups:
            return None
        count = self._reader.compare_groups(self._reader.api, self._place)
        return None if count < 0 else self.changed[:count]

    def entry(self, place: int) -> tuple[int, str]:
        """Return the index of the group and the key of a value."""
        return self._entries[place]

    def renew(self, place: int) -> Any:
        """Return a changed value, which is the one that is to stay from now on."""
        index, key = self._entries[place]
        value = self._values[place] = self._dicts[index][key]
        self._places[place] = id(value)
        return value


class WatchedStates:
    """The state dicts of all parameters of an optimizer."""

    def __init__(self, states: Mapping[Tensor, dict[str, Any]], reader: Reader) -> None:
        """Note which dicts there are."""
        self._states, self._reader = states, reader
        self._dicts = list(states.values())
        self._places = addresses(self._dicts)

    def hold(self, states: Mapping[Tensor, dict[str, Any]]) -> bool:
        """Return whether they are the same dicts, whatever they hold."""
        place, count = self._places.buffer_info()
        return states is self._states and bool(
            self._reader.same_values(self._reader.api, states, place, count)
        )


def addresses(objects: Sequence[Any]) -> array[int]:
    """Return the identities of objects, as the reader compares them; the objects must be kept."""
    return array("Q", map(id, objects))


def native_reader() -> Reader | None:
    """Return what notices changes in nanoseconds, or None where it can't be used."""
    from optkit_core.native.reader_loader import reader

    return reader()
