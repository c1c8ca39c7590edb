"""``foreach``: the update body called with bundles, so that one call steps many tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace

import torch

from optkit_core.errors import ConfigError
from optkit_core.implementations import forloop, joint_steps, kept_buckets, step_counters
from optkit_core.implementations.joint_steps import together as together
from optkit_core.selection.offer import Launch, Offer, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket

CHUNK_BYTES = {"cpu": 4 * 2**20}
ELSEWHERE = 16 * 2**20
"""How many bytes of parameters one call steps, by type of device and on all others.

On CPU a call has no launch to save, and small intermediate results are reused. Against
torch's foreach, a step of Adamax on 16 tensors of 1024×1024 took 0.66 to 0.70 of the time
where the allocator gives memory back to the system, and 0.97 to 0.99 where it keeps it.
Elsewhere up to four intermediate results stay within 64 MiB. `LIMIT` sets another limit.
"""

LIMIT = "OPTKIT_FOREACH_BYTES"
"""The variable that says how many bytes of parameters one call may step, on any device."""


def limit(device_type: str, by_device: Mapping[str, int] = CHUNK_BYTES) -> int:
    """Return how many bytes of parameters one call may step on a type of device.

    Args:
        device_type: as in ``"cpu"``.
        by_device: how many, where nothing else has been said.

    Raises:
        ConfigError: the variable isn't a whole number of bytes from 1 on.
    """
    given = os.environ.get(LIMIT, "").strip()
    if not given:
        return by_device.get(device_type, ELSEWHERE)
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    raise ConfigError(f"{LIMIT} must be a number of bytes from 1 on, got {given!r}.")


def make_launcher(algorithm: type[UpdateBody], bucket: Bucket, h: SimpleNamespace | None) -> Launch:
    """Return what steps all parameters of the bucket together.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        h: hyperparameters of the bucket's only group; None where each group has its own.
    """
    kept_buckets.keep(algorithm, bucket)
    if bucket.key.sharded:
        return joint_steps.sharded_launch(algorithm, bucket.under(h))
    return partial(run, algorithm, bucket.under(h), limit(bucket.key.device.type))


def run(algorithm: type[UpdateBody], bucket: Bucket, most: int) -> None:
    """Step the parameters of the bucket, at most so many bytes together, by the update body.

    Parameters of several groups go together where their hyperparameters and scalar buffers are
    equal. Sparse gradients have no multi-tensor operations and go one by one. A parameter that
    fills a call alone is updated as it is, since there is nothing to join.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        most: bytes of parameters that one call steps.
    """
    if bucket.key.layout != torch.strided:
        forloop.run(algorithm, bucket)
        return
    if bucket.key.sharded:
        joint_steps.sharded_launch(algorithm, bucket)()
        return
    step_counters.advance(bucket.counters)
    is_counted = not bucket.key.capturable
    counts = step_counters.counts_of(bucket) if is_counted else [None] * len(bucket)
    alike = together(bucket, counts)
    for (count, *_), positions in alike.items():
        part = bucket if len(alike) == 1 else bucket.subset(positions)
        for chunk in part.chunks(most):
            # Where the device counts, `forloop.update` would wait to read the counter.
            if is_counted and len(chunk) == 1:
                forloop.update(algorithm, chunk.as_real())
            else:
                joint_steps.update(algorithm, chunk.as_real(), count)


def unsupported_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why foreach can't run a bucket, None where it can.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    if key.differentiable:
        return "multi-tensor operations don't record a graph, and differentiable=True needs one"
    return None


FOREACH = Offer("foreach", make_launcher, unsupported_reason, Bucket.is_as_kept, spans_groups=True)
