"""Conditions of buffers: which of the declared ones a parameter has, given its group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor

Condition = str | Callable[[Tensor, Mapping[str, Any]], bool]
"""The name of a hyperparameter that isn't to be zero, False or None, or a function."""

NamesOf = Callable[[Tensor], tuple[str, ...]]
"""Returns the names of the buffers that a parameter of one group has."""


class Conditional(Protocol):
    """A buffer, as far as it matters whether it exists."""

    @property
    def when(self) -> Condition | None:
        """Its condition; None where it always exists."""
        ...


def exists_for(buffer: Conditional, parameter: Tensor, group: Mapping[str, Any]) -> bool:
    """Return whether a parameter has a buffer.

    Args:
        buffer: the declaration.
        parameter: of the group.
        group: its group, with a value for everything that is declared.
    """
    when = buffer.when
    if when is None:
        return True
    return bool(group[when] if isinstance(when, str) else when(parameter, group))


def names_for(buffers: Mapping[str, Conditional], group: Mapping[str, Any]) -> NamesOf:
    """Return what tells the names of a parameter's buffers, in the declared order.

    Args:
        buffers: the declared ones by name.
        group: the parameter's group.

    >>> from optkit_core import Buffer
    >>> buffers = {"square": Buffer(), "largest": Buffer(when="amsgrad")}
    >>> names_for(buffers, {"amsgrad": False})(torch.ones(2))
    ('square',)
    """
    if any(callable(buffer.when) for buffer in buffers.values()):
        return partial(_names, buffers, group)
    # The group alone decides: asked once for all of its parameters.
    names = tuple([n for n, b in buffers.items() if b.when is None or group[str(b.when)]])
    return lambda parameter: names


def names_under(
    buffers: Mapping[str, Conditional], h: Any, known: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Return the names of the buffers of parameters that nobody has seen yet.

    Args:
        buffers: the declared ones by name.
        h: the hyperparameters of the group as attributes.
        known: the names, where they are known.
    """
    if known is not None:
        return known
    if all(buffer.when is None for buffer in buffers.values()):
        return tuple(buffers)
    values = {name: getattr(h, name) for name in _names_in(h)}
    # A matrix stands for all: of other parameters a bucket's key names the buffers.
    return names_for(buffers, values)(torch.empty(2, 2, device="meta"))


def _names(
    buffers: Mapping[str, Conditional], group: Mapping[str, Any], parameter: Tensor
) -> tuple[str, ...]:
    return tuple([n for n, b in buffers.items() if exists_for(b, parameter, group)])


def _names_in(h: Any) -> list[str]:
    """Return the names of hyperparameters, which are a namespace or of an attrs class."""
    if isinstance(h, SimpleNamespace):
        return list(vars(h))
    return [field.name for field in getattr(type(h), "__attrs_attrs__", ())]
