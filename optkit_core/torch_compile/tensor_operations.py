"""The operations of a trace as operations on tensors, or on bundles of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

OPERATIONS: dict[str, Callable[..., Any]] = {
    "constant": lambda x: x,
    "add_alpha": lambda x, y, factor: x + y * factor,
    "sub_alpha": lambda x, y, factor: x - y * factor,
    "cube": lambda x: x * x * x,
    "pow_minus_2": lambda x: (x * x).reciprocal(),
    "rpow": lambda x, base: base.pow(x),
    "addcmul": lambda x, y, z: x + y * z,
    "addcmul_value": lambda x, y, z, factor: x + y * factor * z,
    "addcdiv": lambda x, y, z: x + y / z,
    "addcdiv_value": lambda x, y, z, factor: x + y * factor / z,
    "clamp_min_max": lambda x, least, most: x.clamp_min(least).clamp_max(most),
}
"""How an operation is called that isn't a tensor method of the same name and arguments."""


def apply(operation: str, operands: Sequence[Any]) -> Any:
    """Apply an operation of a trace.

    Args:
        operation: its name in the vocabulary, followed by the optional arguments given.
        operands: tensors, or bundles of equal length.

    >>> import torch
    >>> apply("add_alpha", [torch.ones(2), torch.ones(2), torch.tensor(3.0)])
    tensor([4., 4.])
    """
    call = OPERATIONS.get(operation)
    if call is not None:
        return call(*operands)
    return getattr(operands[0], operation)(*operands[1:])
