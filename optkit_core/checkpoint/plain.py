"""Plain values: Python's own in place of what other libraries have for them."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Sequence
from typing import Any

from torch import Tensor

PLAIN = frozenset({bool, int, float, complex, str, type(None)})
"""Types of values that can't change, so that there is no need to copy them."""


def unwrapped(value: Any) -> Any:
    """Return a number of NumPy's, or a tuple of such, as Python's; anything else as it is.

    >>> import numpy
    >>> unwrapped((numpy.float32(0.5), "x"))
    (0.5, 'x')
    """
    if type(value) in PLAIN:
        return value
    if type(value) is tuple:
        is_plain = PLAIN.issuperset(map(type, value))
        return value if is_plain else tuple(map(unwrapped, value))
    is_number = getattr(value, "shape", None) == () and not isinstance(value, Tensor)
    return value.item() if is_number else value


def builtin(value: Any, default: Any) -> Any:
    """Return the builtin that a saved hyperparameter stands for; other values as they are.

    Args:
        value: a number of any library, or several where the default is a tuple.
        default: the hyperparameter's own.

    >>> import numpy
    >>> builtin(numpy.array([0.5, 0.75]), default=(0.9, 0.999))
    (0.5, 0.75)
    """
    if isinstance(default, tuple) and _is_row(value):
        return tuple(builtin(item, None) for item in value)
    value = unwrapped(value)
    if isinstance(value, numbers.Real) and type(value) not in PLAIN:
        with contextlib.suppress(OverflowError):  # one beyond all floats is refused later
            return int(value) if isinstance(value, numbers.Integral) else float(value)
    return value


def _is_row(value: Any) -> bool:
    is_array = len(getattr(value, "shape", ())) == 1 and not isinstance(value, Tensor)
    return is_array or (isinstance(value, Sequence) and not isinstance(value, str))
