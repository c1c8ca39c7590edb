"""What notices changes between steps: an optimizer's groups and the dicts of its state."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from optkit_core.native.shared_structures import GroupsStruct, address
from optkit_core.native.tensor_reader import Reader


class WatchedGroups:
    """The parameter groups of an optimizer, and the parameters that have no gradient.

    Args:
        param_groups: the optimizer's list of groups.
        reader: what compares them.
    """

    def __init__(self, param_groups: list[dict[str, Any]], reader: Reader) -> None:
        """Note what the groups hold now."""
        self._groups, self._reader = param_groups, reader
        # All are kept: once an object is gone, another may have its `id`.
        self._dicts = list(param_groups)
        self._entries = [(i, key) for i, group in enumerate(param_groups) for key in group]
        self._values = [value for group in param_groups for value in group.values()]
        self._lists = [group["params"] for group in param_groups]
        self._params = list(chain.from_iterable(self._lists))
        # Only those without a gradient: buckets look at the gradients of all others themselves.
        self._lacking = [p for p in self._params if p.grad is None]
        self._ids = identities(self._values)
        # The reader writes the indices of changed values to its beginning.
        self.changed = array("q", bytes(8 * len(self._values)))
        self._arrays = (
            identities(self._dicts),
            array("q", map(len, self._dicts)),
            identities([key for _, key in self._entries]),
            self._ids,
            identities(self._lists),
            array("q", map(len, self._lists)),
            identities(self._params),
            identities(self._lacking),
            self.changed,
        )
        self._noted = GroupsStruct(
            len(self._dicts),
            len(self._lacking),
            id(param_groups),
            *map(address, self._arrays),
        )
        self._address = ctypes.addressof(self._noted)

    def changes(self, param_groups: list[dict[str, Any]]) -> Sequence[int] | None:
        """Return the indices of changed values; None where more than values has changed.

        Args:
            param_groups: the optimizer's list of groups.
        """
        if param_groups is not self._groups:
            return None
        count = self._reader.compare_groups(self._reader.api, self._address)
        return None if count < 0 else self.changed[:count]

    def entry(self, index: int) -> tuple[int, str]:
        """Return the index of the group and the key of the value at an index."""
        return self._entries[index]

    def renew(self, index: int) -> Any:
        """Note the changed value at an index as the one that is to stay, and return it."""
        group, key = self._entries[index]
        value = self._values[index] = self._dicts[group][key]
        self._ids[index] = id(value)
        return value


class WatchedStates:
    """The state dicts of all parameters of an optimizer."""

    def __init__(self, states: Mapping[Tensor, dict[str, Any]], reader: Reader) -> None:
        """Note which dicts there are."""
        self._states, self._reader = states, reader
        self._dicts = list(states.values())
        self._ids = identities(self._dicts)

    def hold(self, states: Mapping[Tensor, dict[str, Any]]) -> bool:
        """Return whether they are the same dicts, whatever they hold."""
        address, count = self._ids.buffer_info()
        return states is self._states and bool(
            self._reader.same_values(self._reader.api, states, address, count)
        )


def identities(objects: Sequence[Any]) -> array[int]:
    """Return what the reader compares: the `id` of each object, all of which must be kept."""
    return array("Q", map(id, objects))


def native_reader() -> Reader | None:
    """Return what notices changes in nanoseconds, or None where it can't be used."""
    # Imported with the first plan: the compiler and the cache of kernels come along.
    from optkit_core.native.tensor_reader_loader import reader

    return reader()
