"""``forloop``: the update body called with real tensors, one parameter at a time.

This is the reference that the other implementations must agree with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import torch

from optkit_core.declaration.buffers import STEP
from optkit_core.implementations import joint_steps, kept_buckets, scalar_buffers, step_counters
from optkit_core.implementations.autograd import Recorded, as_tensor, shown_to_autograd
from optkit_core.implementations.bundle import Bundle
from optkit_core.implementations.layout_copies import (
    BucketCopy,
    in_one_dtype,
    widened,
    without_offset,
)
from optkit_core.implementations.state_view import StateView
from optkit_core.selection.offer import Launch, Offer, UpdateBody
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket


def make_launcher(algorithm: type[UpdateBody], bucket: Bucket, h: SimpleNamespace | None) -> Launch:
    """Return what steps every parameter of the bucket by the algorithm's update body.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        h: hyperparameters of the bucket's only group; None where each group has its own.
    """
    kept_buckets.keep(algorithm, bucket)
    if bucket.key.sharded:
        return joint_steps.sharded_launch(algorithm, bucket.under(h), one_by_one=True)
    return partial(run, algorithm, bucket.under(h))


def run(algorithm: type[UpdateBody], bucket: Bucket) -> None:
    """Step every parameter of the bucket by the algorithm's update body.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
    """
    if bucket.key.sharded:
        joint_steps.sharded_launch(algorithm, bucket, one_by_one=True)()
        return
    step_counters.advance(bucket.counters)  # the body is told the number of this step, from 1
    if bucket.key.layout != torch.strided:
        assert algorithm.update_sparse is not None
        copies = BucketCopy(bucket, bucket.tensors, without_offset)
        _call(algorithm.update_sparse, copies.bucket)
        copies.copy_back()
    elif bucket.key.capturable:
        _run_capturable(algorithm, bucket.as_real())
    elif bucket.key.differentiable:
        _run_differentiable(algorithm, bucket)
    else:
        update(algorithm, bucket.as_real())


def unsupported_reason(
    algorithm: type[UpdateBody], key: BucketKey, h: SimpleNamespace | None
) -> str | None:
    """Return why the for-loop can't run a bucket; None where it can, as nearly everywhere.

    Args:
        algorithm: the class with its update body.
        key: what the bucket's parameters have in common.
        h: the hyperparameters of the bucket's first group, as attributes.
    """
    if key.differentiable and key.layout != torch.strided:
        return "autograd can't record what is computed in place on the values of sparse gradients"
    return None


def update(algorithm: type[UpdateBody], bucket: Bucket) -> None:
    """Call the update body for each parameter of a bucket whose counters have advanced.

    Args:
        algorithm: the class with its update body.
        bucket: the same, without complex tensors.
    """
    # A limit of 0 makes chunks of one row: the copies of one parameter exist at a time.
    for part in in_one_dtype(bucket, bucket.tensors, limit=0):
        _call(algorithm.update, part)


def _call(body: Callable[..., None], bucket: Bucket) -> None:
    view = StateView(bucket.is_new)
    counts = step_counters.counts_of(bucket)
    rows = zip(bucket.params, bucket.grads, bucket.states, bucket.values, counts, strict=True)
    for p, g, state, h, t in rows:
        cells = scalar_buffers.cells_of(state, bucket.scalars)
        view.show(state, cells)
        body(p, bucket.directed(g), view, h, t)
        scalar_buffers.store([state], cells)


def _run_differentiable(algorithm: type[UpdateBody], bucket: Bucket) -> None:
    """Step under autograd; buffers become new tensors, so that many steps can be unrolled."""
    real = bucket.as_real()
    names, counts = bucket.tensors, step_counters.counts_of(bucket)
    columns = (real.params, real.grads, real.states, real.values, bucket.states, counts)
    for p, g, state, h, kept, t in zip(*columns, strict=True):
        wide, g, *tensors = widened((p, g, *(state[name] for name in names)))
        values = [Recorded(tensor, replaceable=True) for tensor in tensors]
        # A body that reads its parameter, by a norm say, has autograd save what it read.
        start = wide.clone() if wide is p else wide
        parameter = Recorded(start, replaceable=True)
        view = StateView(bucket.is_new)
        cells = scalar_buffers.cells_of(state, bucket.scalars, shown_to_autograd)
        view.show(dict(zip(names, values, strict=True)), cells)
        algorithm.update(parameter, Recorded(bucket.directed(g)), view, h, t)
        if parameter.tensor is not start:
            p.copy_(parameter.tensor)  # which stays the same tensor, in its own dtype
        for name, value in zip(names, values, strict=True):
            new = value.tensor.to(state[name].dtype)
            kept[name] = torch.view_as_complex(new) if kept[name].is_complex() else new
        for name, cell in cells.items():
            if cell.is_assigned:
                kept[name] = as_tensor(cell.value, state[name])


def _run_capturable(algorithm: type[UpdateBody], bucket: Bucket) -> None:
    view = StateView(bucket.is_new)
    for part in in_one_dtype(bucket, bucket.tensors, limit=0):
        rows = zip(part.params, part.grads, part.states, part.values, strict=True)
        for p, g, state, h in rows:
            # Bundles of one: these take alpha= and value= from a tensor without reading it.
            cells = scalar_buffers.cells_on_device([state], part.scalars)
            view.show({name: Bundle([state[name]]) for name in part.tensors}, cells)
            gradient = Bundle([part.directed(g)])
            t = Bundle([state[STEP]]) if part.counts_steps else None
            algorithm.update(Bundle([p]), gradient, view, h, t)
            scalar_buffers.store([state], cells)


FORLOOP = Offer("forloop", make_launcher, unsupported_reason, Bucket.is_as_kept, spans_groups=True)
