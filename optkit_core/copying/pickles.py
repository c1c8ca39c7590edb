"""Pickles of an optimizer: they take along what `pickle` takes, and name what stays behind."""

from __future__ import annotations

import io
import pickle
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from optkit_core.copying.copies import carried, required, tables
from optkit_core.torch_hooks import MAY_STAY

IMPORTABLE = (
    "A pickle takes functions that can be imported by name, and objects made of such: define "
    "the hook in a module, or mark one that may stay behind with "
    "torch.utils.hooks.unserializable_hook."
)


def picklable(
    optimizer: Optimizer, reduced: str | tuple[Any, ...], protocol: int
) -> str | tuple[Any, ...]:
    """Return a reduced optimizer without the hooks and attributes that pickle refuses.

    Args:
        optimizer: what is being pickled.
        reduced: what ``object.__reduce_ex__`` said of it; the third item is the state.
        protocol: of the pickle.
    """
    if isinstance(reduced, str) or len(reduced) < 3 or not isinstance(reduced[2], dict):
        return reduced  # a subclass pickles otherwise
    attempt = partial(_attempted, optimizer=optimizer, protocol=protocol)
    state = carried(optimizer, reduced[2], attempt, "pickle", IMPORTABLE)
    for name in tables(state):
        if len(state[name]) == len(reduced[2][name]):
            state[name] = reduced[2][name]  # handles that are pickled too refer to it
    return (*reduced[:2], state | required(reduced[2]), *reduced[3:])


def _attempted(value: Any, optimizer: Optimizer, protocol: int) -> Any:
    """Return `value` if it can be pickled along with the optimizer."""
    if hasattr(value, MAY_STAY):
        raise pickle.PicklingError("it is marked with unserializable_hook")
    _Attempt(optimizer, protocol).dump(value)
    return value


class _Attempt(pickle.Pickler):
    """Pickles into the void, without the optimizer itself and without the data of tensors."""

    def __init__(self, optimizer: Optimizer, protocol: int) -> None:
        """Take the optimizer for granted."""
        super().__init__(io.BytesIO(), protocol)
        self.optimizer = optimizer

    def persistent_id(self, value: Any) -> str | None:
        """Name what needn't be tried."""
        return "granted" if value is self.optimizer or isinstance(value, Tensor) else None
