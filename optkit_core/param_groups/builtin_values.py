"""Plain values: Python's own numbers, texts and containers in place of those of other libraries.

Values in groups are plain, so that they can be compared, saved and loaded for a whole run.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from torch import Tensor

BUILTIN_TYPES = frozenset({bool, int, float, complex, str, bytes, type(None)})
"""Types of Python's own values."""


def plain(value: Any) -> Any:
    """Return the number, text or container of Python's own that equals `value`.

    Args:
        value: NumPy's numbers and arrays, fractions, decimals, enumerated texts, and mappings
            and sequences of them, of OmegaConf for example. Anything else stays as it is, and
            so do tensors, which are told apart by identity.

    >>> from fractions import Fraction
    >>> plain([Fraction(1, 4), range(2)])
    [0.25, [0, 1]]
    """
    # Exact types: numpy.float64 is a float too, and torch.load(weights_only=True) refuses it.
    if type(value) in BUILTIN_TYPES or isinstance(value, Tensor):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # an enumerated one calls itself by its member's name
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        # Named tuples, ranges and lists of configuration libraries become what a checkpoint can
        # hold.
        return (tuple if isinstance(value, tuple) else list)(map(plain, value))
    item = value.tolist() if is_array(value) else value
    return plain(item) if type(item) in (list, *BUILTIN_TYPES) else _number(item)


def number(value: Any) -> Any:
    """Return the item of an array without dimensions, and anything else as it is."""
    return value.item() if is_array(value) and value.shape == () else value


def is_array(value: Any) -> bool:
    """Return whether a value is an array or a scalar of NumPy's kind; a tensor isn't."""
    is_excluded = isinstance(value, (Tensor, type))
    return not is_excluded and hasattr(value, "shape") and hasattr(value, "tolist")


def is_real(value: Any) -> bool:
    """Return whether a value is a real number; booleans aren't."""
    return isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, bool)


def _number(value: Any) -> Any:
    if isinstance(value, numbers.Integral):
        return int(value)
    try:
        return float(value) if is_real(value) else value
    except OverflowError:  # beyond all floats
        return value
