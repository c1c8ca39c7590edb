"""From which size on ``auto`` prefers an implementation, as measured.

``python -m benchmarks thresholds`` measures the figures anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor


class Size(NamedTuple):
    """How large a bucket is: it reaches a size by its tensors or by their elements."""

    tensors: int
    elements: int


HALF = 2
"""Bytes of a half-precision number."""

SMALLEST: Mapping[str, Mapping[str, Size]] = {"cpu": {"fused": Size(4, 32768)}}
"""The size from which an implementation pays, by type of device."""


def too_small(device_type: str, params: Sequence[Tensor]) -> dict[str, str]:
    """Return the implementations that a bucket is too small for, each with the reason.

    Halves are an exception: fused computes them in float32, and what a step results in
    mustn't depend on the size of a bucket.

    >>> import torch
    >>> too_small("cpu", [torch.zeros(10)])
    {'fused': 'it pays from 4 tensors or 32768 elements on'}
    >>> too_small("cpu", [torch.zeros(10)] * 400)
    {}
    """
    if params and params[0].itemsize == HALF:
        return {}
    return {
        name: f"it pays from {least.tensors} tensors or {least.elements} elements on"
        for name, least in SMALLEST.get(device_type, {}).items()
        if len(params) < least.tensors and sum(p.numel() for p in params) < least.elements
    }
