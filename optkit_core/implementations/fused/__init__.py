"""``fused``: the update body as a kernel that steps a whole bucket in one pass over memory.

The body is traced by symbols; the trace is written as C++ or as Triton source, compiled once
and kept. What a device needs is imported when a bucket on such a device is first looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch

from optkit_core.selection.selector import Offer
from optkit_core.step.buckets import Bucket, Kind

MODULES = {"cpu": "cpu", "cuda": "cuda"}
"""The module of this package that runs kernels on a type of device."""


def prepare(algorithm: Any, bucket: Bucket, h: Any) -> Callable[[], None]:
    """Return what steps the bucket, once everything that it needs is there."""
    launch: Callable[[], None] = _module(bucket.kind.device.type).prepare(
        algorithm, bucket.under(h), h
    )
    return launch


def holds(bucket: Bucket) -> bool:
    """Return whether a bucket that was stepped before can be stepped again as it is."""
    return bucket.kept is not None and bool(bucket.kept.holds(bucket))


def refuse(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return why no fused kernel can step a kind of bucket, or an empty string."""
    if kind.device.type not in MODULES:
        return f"there are fused kernels for {', '.join(MODULES)}, not for {kind.device.type}"
    if kind.differentiable:
        return "a kernel doesn't record a graph, and differentiable=True needs one"
    if kind.compiled:
        return "under torch.compile the compiler writes the kernels"
    if kind.layout != torch.strided:
        return "a kernel walks dense memory, and the gradients are sparse"
    if not kind.native:
        return "a tensor subclass needn't have memory that a kernel can walk"
    return str(_module(kind.device.type).refuse(algorithm, kind, h))


def source(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return the source of the kernel that steps a kind of bucket, as far as it is its own."""
    return str(_module(kind.device.type).source(algorithm, kind, h))


@lru_cache
def _module(device_type: str) -> Any:
    return import_module(f"{__name__}.{MODULES[device_type]}")


FUSED = Offer("fused", prepare, refuse, holds, skips=frozenset({"cuda"}), spans_groups=True)
