"""Flat hyperparameters: a group's as a row of numbers, and what isn't a number beside it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from torch import Tensor

SINGLE, FIXED = -1, -2
"""What stands for the length of a number by itself, and of a value that isn't numbers."""


class Slot(NamedTuple):
    """Where a hyperparameter stands in a row.

    Args:
        name: the hyperparameter's.
        start: the index of its first number.
        length: how many numbers a tuple has, `SINGLE` or `FIXED`.
        fixed: the value of one that isn't numbers.
    """

    name: str
    start: int
    length: int
    fixed: Any = None


class FlatHyperparameters(NamedTuple):
    """A group's hyperparameters.

    Args:
        slots: what stands where; the same for groups that differ in numbers alone.
        numbers: the row.
        tensors: the numbers that are read from a tensor before each step, by their index.
    """

    slots: tuple[Slot, ...]
    numbers: list[float]
    tensors: tuple[tuple[int, Tensor], ...]


def flatten(h: Any) -> FlatHyperparameters | None:
    """Return a group's hyperparameters as numbers, None where one of them can't be followed.

    Args:
        h: the hyperparameters as attributes.

    >>> flatten(SimpleNamespace(lr=0.1, betas=(0.9, 0.99), nesterov=True)).numbers
    [0.1, 0.9, 0.99]
    """
    slots: list[Slot] = []
    row: list[float] = []
    tensors: list[tuple[int, Tensor]] = []
    for name, value in vars(h).items():
        start, numbers = len(row), numbers_of(value)
        tensors += [(start + i, x) for i, x in enumerate(_items(value)) if isinstance(x, Tensor)]
        if numbers is not None:
            row += numbers
            slots.append(Slot(name, start, len(numbers) if isinstance(value, tuple) else SINGLE))
        # These choose the body's branches, so that a recording holds for their values only.
        elif all(map(_is_choice, value if isinstance(value, tuple) else (value,))):
            slots.append(Slot(name, start, FIXED, value))
        else:
            # A tensor on a device, for example: the body is then run in each step.
            return None
    return FlatHyperparameters(tuple(slots), row, tuple(tensors))


def unflatten(slots: Sequence[Slot], scalars: Sequence[Any]) -> SimpleNamespace:
    """Return hyperparameters as attributes again, with scalars in the place of numbers.

    Args:
        slots: what stands where.
        scalars: the row, of numbers or of what stands for them.

    >>> h = flatten(SimpleNamespace(lr=0.1, betas=(0.9, 0.99)))
    >>> unflatten(h.slots, h.numbers)
    namespace(lr=0.1, betas=(0.9, 0.99))
    """
    return SimpleNamespace(**{slot.name: _value(slot, scalars) for slot in slots})


def numbers_of(value: Any) -> list[float] | None:
    """Return a hyperparameter's numbers; None where it isn't made of them."""
    items = _items(value)
    return list(map(float, items)) if items and all(map(_is_number, items)) else None


def has_tensor(value: Any) -> bool:
    """Return whether a hyperparameter is a tensor, or has one among its values."""
    return any(isinstance(item, Tensor) for item in _items(value))


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _value(slot: Slot, scalars: Sequence[Any]) -> Any:
    if slot.length == FIXED:
        return slot.fixed
    if slot.length == SINGLE:
        return scalars[slot.start]
    return tuple(scalars[slot.start : slot.start + slot.length])


def _is_choice(value: Any) -> bool:
    """Return whether a value by itself, or beside numbers in a tuple, is no tensor or list."""
    return value is None or isinstance(value, (bool, str, int, float))


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):  # to read a number on a device would wait for it
        return value.is_cpu and not value.dim()
    return type(value) in (float, int)  # True is an int too, and chooses a way of the body
