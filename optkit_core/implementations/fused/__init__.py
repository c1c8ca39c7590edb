"""``fused``: the update body as a kernel that steps a whole bucket in one pass over memory.

The body is traced by symbols; the trace is written as C++ or as Triton source, compiled once
and kept. What a device needs is imported when a bucket on such a device is first looked at.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch

from optkit_core.implementations.measuring import bodies
from optkit_core.selection.offer import Launch, Offer, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket

MODULES = {"cpu": "cpu", "cuda": "cuda"}
"""The module of this package that runs kernels on a type of device."""


def make_launcher(algorithm: type[UpdateBody], bucket: Bucket, h: SimpleNamespace | None) -> Launch:
    """Return what steps the bucket, once everything that it needs is there.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        h: hyperparameters of the bucket's only group; None where each group has its own.
    """
    launch: Launch = _module(bucket.key.device.type).make_launcher(algorithm, bucket.under(h))
    return launch


def unsupported_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why no fused kernel can step a bucket here, None where one can.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    reason: str | None = _refused(key)
    for body, own in bodies(algorithm, key):
        reason = reason or _module(key.device.type).unsupported_reason(body, own, h)
    return reason


def impossible_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why no fused kernel can step a bucket on any machine, None where one can.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    reason: str | None = _refused(key)
    for body, own in bodies(algorithm, key):
        reason = reason or _module(key.device.type).impossible_reason(body, own, h)
    return reason


def _refused(key: BucketKey) -> str | None:
    """Return why kernels aren't for buckets of a key, whatever the algorithm."""
    if key.device.type not in MODULES:
        return (
            f"there are fused kernels for {', '.join(MODULES)}, not for {key.device.type} "
            "[`fused=True` requires all the params to be floating point Tensors there]"
        )
    if key.differentiable:
        return "a kernel doesn't record a graph, and differentiable=True needs one"
    if key.compiled:
        return "under torch.compile the compiler writes the kernels"
    if key.layout != torch.strided:
        return "a kernel walks dense memory, and the gradients are sparse"
    if key.sharded and key.device.type != "cpu":
        return "its reductions are completed over shards between passes"
    if not key.native:
        return "a tensor subclass needn't have memory that a kernel can walk"
    return None


def source(algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace) -> str:
    """Return the source of the kernels that step a bucket, as far as it is their own.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: their hyperparameters as attributes.
    """
    source_of = _module(key.device.type).source
    return "\n".join(source_of(body, own, h) for body, own in bodies(algorithm, key))


@lru_cache
def _module(device_type: str) -> Any:
    return import_module(f"{__name__}.{MODULES[device_type]}")


FUSED = Offer(
    "fused",
    make_launcher,
    unsupported_reason,
    Bucket.is_as_kept,
    # There a kernel reads found_inf itself; on other devices the host has to know before it.
    skips=frozenset({"cuda"}),
    spans_groups=True,
    impossible_reason=impossible_reason,
)
