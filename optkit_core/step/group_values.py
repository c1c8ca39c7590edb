"""The hyperparameters of each parameter group, as an update body reads them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol


class GroupOwner(Protocol):
    """An optimizer with parameter groups."""

    param_groups: list[dict[str, Any]]

    def values(self, group: Mapping[str, Any]) -> SimpleNamespace:
        """Return the hyperparameters of a group as attributes."""


class GroupValues(Mapping[int, SimpleNamespace]):
    """The hyperparameters of each group as attributes, looked up when somebody asks."""

    def __init__(self, optimizer: GroupOwner) -> None:
        """Look into this optimizer's groups; the optimizer keeps what keeps these, so no cycle."""
        self._optimizer = weakref.ref(optimizer)
        self._groups = optimizer.param_groups
        self._values: dict[int, SimpleNamespace] = {}

    def __getitem__(self, index: int) -> SimpleNamespace:
        """Return those of one group."""
        values = self._values.get(index)
        if values is None:
            optimizer = self._optimizer()
            assert optimizer is not None
            values = self._values[index] = optimizer.values(self._groups[index])
        return values

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._groups)))

    def __len__(self) -> int:
        return len(self._groups)

    def forget(self) -> None:
        """Look into the groups anew from now on."""
        self._values.clear()
