"""Buffers that exist, and that no update body has set yet: all their elements are -0.0.

A checkpoint of shards has a tensor for every buffer, and one that starts from the first gradient
may be saved before there was any. As numbers these are zeros, so that another program, which
knows nothing of this, begins from zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

UNSET = -0.0


def mark(buffer: Tensor) -> None:
    """Fill a new buffer with what says that nothing has set it."""
    (torch.view_as_real(buffer) if buffer.is_complex() else buffer).fill_(UNSET)


def are_unset(buffers: Sequence[Tensor]) -> list[bool]:
    """Return which buffers no body has set yet.

    Args:
        buffers: plain tensors of one device; one without elements or without memory counts as set.

    >>> are_unset([torch.tensor([-0.0, -0.0]), torch.tensor([-0.0, 0.0])])
    [True, False]
    """
    candidates = [i for i, b in enumerate(buffers) if b.numel() and not b.is_meta]
    firsts = [_real(buffers[i]).flatten()[:1].double() for i in candidates]
    # Of almost all buffers the first element tells, and one transfer brings those of all.
    begins = _is_negative_zero(torch.cat(firsts)).tolist() if firsts else []
    found = {i for i, is_first in zip(candidates, begins, strict=True) if is_first}
    return [i in found and _is_all_unset(b) for i, b in enumerate(buffers)]


def _is_all_unset(value: Any) -> bool:
    return bool(_is_negative_zero(_real(value)).all())


def _real(value: Tensor) -> Tensor:
    return torch.view_as_real(value.detach()) if value.is_complex() else value.detach()


def _is_negative_zero(value: Tensor) -> Tensor:
    return value.signbit() & (value == 0)
