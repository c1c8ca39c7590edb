"""Awkward floating-point values, and what counts as close to a wanted result."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

ULPS = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def values(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return all pairs of awkward values, and a third one beside each pair."""
    info = torch.finfo(dtype)
    special = [0.0, 1.0, 0.5, 1.5, 2.5, 0.1, 3.0, float("inf"), info.max, info.tiny]
    special += [info.tiny / 4, info.eps, 88.7, 1e-3]
    signed = [sign * value for value in special for sign in (1, -1)] + [float("nan")]
    x, y = (
        torch.tensor(column, dtype=dtype) for column in zip(*product(signed, signed), strict=True)
    )
    return x, y, x.flip(0).roll(7)


def is_close(found: Tensor, wanted: Tensor) -> Tensor:
    info = torch.finfo(wanted.dtype)
    least = info.tiny * info.eps * 4
    return torch.isclose(found, wanted, ULPS[wanted.dtype], least, equal_nan=True)
