"""Functions of numbers in update bodies: recorded where a body is, on the device where it counts.

Python's operators, comparisons, `abs`, `min` and `max` of hyperparameters, scalar buffers and
``t`` need no help. `math.exp` and the like do: they ask for a number at once, which makes a fused
body run anew in every step, and which no value on a device has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from optkit_core.tracing.scalar_program import TracedScalar, recorded


def exp(x: Any) -> Any:
    """Return e to the power of x.

    Args:
        x: a number, or what stands for one in an update body.

    >>> exp(0.0)
    1.0
    """
    return recorded("exp", x) if _is_number(x) else x.exp()


def log(x: Any) -> Any:
    """Return the natural logarithm of x.

    Args:
        x: a number above 0, or what stands for one in an update body.

    >>> log(1.0)
    0.0
    """
    return recorded("log", x) if _is_number(x) else x.log()


def sqrt(x: Any) -> Any:
    """Return the square root of x, rounded as IEEE 754 has it, which ``x ** 0.5`` needn't be.

    Args:
        x: a number from 0 on, or what stands for one in an update body.

    >>> sqrt(4)
    2.0
    """
    return recorded("sqrt", x) if _is_number(x) else x.sqrt()


def maximum(x: Any, y: Any) -> Any:
    """Return the larger of two numbers.

    Unlike `max`, it makes no branch of the body, and takes numbers on a device.

    Args:
        x: a number, or what stands for one in an update body.
        y: likewise.

    >>> maximum(1, 2.5)
    2.5
    """
    if _is_number(x) and _is_number(y):
        return recorded("max", x, y)
    if _is_number(x):
        x, y = y, x
    return x.clamp_min(y) if _is_number(y) else x.maximum(y)


def minimum(x: Any, y: Any) -> Any:
    """Return the smaller of two numbers; see `maximum`.

    Args:
        x: a number, or what stands for one in an update body.
        y: likewise.

    >>> minimum(1, 2.5)
    1.0
    """
    if _is_number(x) and _is_number(y):
        return recorded("min", x, y)
    if _is_number(x):
        x, y = y, x
    return x.clamp_max(y) if _is_number(y) else x.minimum(y)


def float32(x: Any) -> Any:
    """Return the nearest number of float32.

    Args:
        x: a number, or what stands for one in an update body.

    >>> float32(0.1)
    0.10000000149011612
    """
    return recorded("float32", x) if _is_number(x) else x.to(torch.float32)


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Return one of two values of an update body, by a comparison of numbers.

    Where the numbers are known, only the function that is chosen is called. Where the device has
    them, as with ``capturable=True``, both are, and `torch.where` chooses.

    Args:
        pred: a comparison of scalars, ``t > 5`` for example.
        true_fn: called without arguments, returns the value where it holds.
        false_fn: likewise where it doesn't.

    >>> cond(3 > 5, lambda: 1 / 0, lambda: 2.0)
    2.0
    """
    if isinstance(pred, bool):
        return true_fn() if pred else false_fn()
    return torch.where(pred, true_fn(), false_fn())


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, TracedScalar))
