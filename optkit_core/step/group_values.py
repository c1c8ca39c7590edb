"""The hyperparameters of each parameter group, as an update body reads them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

from torch import Tensor

from optkit_core.tracing.flat_hyperparameters import has_tensor


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


def without_dims(value: Any) -> Any:
    """Return a value of a group with its one-element tensors as tensors of no dimension.

    One of shape (1,) would broadcast a parameter of shape ().

    Args:
        value: a tensor, a tuple that may hold some, or anything else.
    """
    if isinstance(value, tuple):
        return tuple(map(without_dims, value)) if has_tensor(value) else value
    is_row = isinstance(value, Tensor) and value.dim() and value.numel() == 1
    return value.reshape(()) if is_row else value


def read(h: SimpleNamespace) -> SimpleNamespace:
    """Return hyperparameters with numbers in tuples, for tensors that nobody differentiates.

    As the weight of ``lerp`` such a tensor would have to be of the parameter's dtype.
    """
    rows = {key: x for key, x in vars(h).items() if type(x) is tuple and has_tensor(x)}
    numbers = {key: tuple(map(_read, x)) for key, x in rows.items()}
    return SimpleNamespace(**{**vars(h), **numbers}) if rows else h


def _read(value: Any) -> Any:
    is_known = isinstance(value, Tensor) and value.is_cpu and not value.requires_grad
    return value.item() if is_known else value
