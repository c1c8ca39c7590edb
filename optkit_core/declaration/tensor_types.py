"""The tensor classes whose memory is known; a subclass, a distributed one say, may hide its own."""

from __future__ import annotations

import torch
from torch import Tensor

PLAIN_TYPES = frozenset({Tensor, torch.nn.Parameter})


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is of no subclass but Parameter."""
    return type(tensor) in PLAIN_TYPES


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype without the module's.

    >>> dtype_name(torch.float32)
    'float32'
    """
    return str(dtype).removeprefix("torch.")
