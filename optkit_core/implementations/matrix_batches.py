"""``foreach`` over whole matrices: the update body called with batches of equal shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial, reduce
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from optkit_core.implementations import foreach, scalar_buffers, step_counters
from optkit_core.implementations.state_view import StateView
from optkit_core.selection.offer import Launch, Offer, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket

BATCH_BYTES = {"cpu": 2**20}
"""How many bytes of parameters one batch holds, where `foreach.LIMIT` sets no other limit.

On CPU the intermediate results of larger ones leave the cache; a matrix of 512×512 fills one.
"""


def make_launcher(algorithm: type[UpdateBody], bucket: Bucket, h: SimpleNamespace | None) -> Launch:
    """Return what steps all parameters of the bucket, those of equal shape together.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        h: hyperparameters of the bucket's only group; None where each group has its own.
    """
    return partial(
        run, algorithm, bucket.under(h), foreach.limit(bucket.key.device.type, BATCH_BYTES)
    )


def run(algorithm: type[UpdateBody], bucket: Bucket, most: int) -> None:
    """Step the parameters of the bucket in batches, each of at most so many bytes.

    Parameters of one batch are of equal shape, count and hyperparameters.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        most: bytes of parameters that one call steps.
    """
    step_counters.advance(bucket.counters)
    for count, alike in _by_shape(bucket):
        for chunk in alike.chunks(most):
            _update(algorithm, chunk, count)


def unsupported_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why batches can't be made of a bucket, None where they can.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    if not key.native:
        return "tensors of a subclass needn't go into one batch"
    return None


def _by_shape(bucket: Bucket) -> Iterator[tuple[float | None, Bucket]]:
    """Yield rows of equal shapes, dtypes, counts and hyperparameters, with their count."""
    counts = step_counters.counts_of(bucket)
    for (count, *_), positions in foreach.together(bucket, counts).items():
        forms: dict[Any, list[int]] = defaultdict(list)
        for position in positions:
            forms[_form(bucket, position)].append(position)
        for alike in forms.values():
            yield count, bucket.subset(alike)


def _form(bucket: Bucket, position: int) -> Any:
    tensors = [bucket.states[position][name] for name in bucket.tensors]
    return tuple((tensor.shape, tensor.dtype) for tensor in (bucket.params[position], *tensors))


def _update(algorithm: type[UpdateBody], bucket: Bucket, count: float | None) -> None:
    """Call the update body once, and copy back what it has changed.

    As in the for-loop, where dtypes differ it computes in the widest of them.
    """
    names, cells = bucket.tensors, scalar_buffers.shared_cells(bucket)
    columns = [bucket.params, *([state[name] for state in bucket.states] for name in names)]
    widest = reduce(torch.promote_types, [column[0].dtype for column in columns])
    p, *buffers = batches = [_batch(column).to(widest) for column in columns]
    view = StateView(bucket.is_new)
    view.show(dict(zip(names, buffers, strict=True)), cells)
    g = _batch(bucket.directed_grads()).to(widest)
    algorithm.update(p, g, view, bucket.values[0], count)
    scalar_buffers.store(bucket.states, cells)
    for column, batch in zip(columns, batches, strict=True):
        torch._foreach_copy_(column, batch.unbind())


def _batch(tensors: list[Tensor]) -> Tensor:
    """Return tensors as one; a single tensor isn't copied."""
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tensors)


def _no_kernel(algorithm: type[Any], key: BucketKey, h: SimpleNamespace | None) -> str | None:
    return f"a kernel computes element by element, and {algorithm.__name__} needs whole matrices"


# Batches of small matrices take a third of the for-loop's time, large ones go one by one anyway.
BATCHES = Offer(
    "foreach",
    make_launcher,
    unsupported_reason,
    spans_groups=True,
    ahead_of=frozenset({"forloop"}),
)

NO_KERNEL = Offer("fused", None, _no_kernel)
