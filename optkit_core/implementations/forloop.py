"""``forloop``: the update body called with real tensors, one parameter at a time.

This is the reference that the other implementations must agree with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from optkit_core.buckets import Bucket, Kind
from optkit_core.implementations import counting
from optkit_core.implementations.bundle import Bundle
from optkit_core.implementations.recorded import Recorded
from optkit_core.implementations.view import StateView
from optkit_core.selector import Offer


def prepare(algorithm: Any, bucket: Bucket, h: Any) -> Callable[[], None]:
    """Return what steps every parameter of the bucket by the algorithm's update body."""
    return partial(run, algorithm, bucket, h)


def run(algorithm: Any, bucket: Bucket, h: Any) -> None:
    """Step every parameter of the bucket by the algorithm's update body."""
    counting.advance(bucket.steps)
    if bucket.kind.layout != torch.strided:
        _call(algorithm.update_sparse, bucket, h)
    elif bucket.kind.capturable:
        _run_capturable(algorithm, bucket.as_real(), h)
    elif bucket.kind.differentiable:
        _run_differentiable(algorithm, bucket, h)
    else:
        update(algorithm, bucket.as_real(), h)


def refuse(algorithm: Any, kind: Kind, h: Any) -> str:
    """Return why the for-loop can't run a kind of bucket: there is no such kind."""
    return ""


def update(algorithm: Any, bucket: Bucket, h: Any) -> None:
    """Call the update body for each parameter of a bucket whose counters have advanced."""
    _call(algorithm.update, bucket, h)


def _call(body: Callable[..., None], bucket: Bucket, h: Any) -> None:
    view = StateView()
    for p, g, state in zip(bucket.params, bucket.grads, bucket.states, strict=True):
        view.show(state)
        body(p, bucket.directed(g), view, h, state["step"].item())


def _run_differentiable(algorithm: Any, bucket: Bucket, h: Any) -> None:
    """Step under autograd; buffers become new tensors, so that many steps can be unrolled."""
    real = bucket.as_real()
    for p, g, state, kept in zip(real.params, real.grads, real.states, bucket.states, strict=True):
        buffers = {name: Recorded(state[name], replaceable=True) for name in algorithm.buffers}
        view = StateView()
        view.show(buffers)
        gradient = Recorded(bucket.directed(g))
        algorithm.update(Recorded(p), gradient, view, h, state["step"].item())
        for name, value in buffers.items():
            complex_pair = kept[name].is_complex()
            kept[name] = torch.view_as_complex(value.tensor) if complex_pair else value.tensor


def _run_capturable(algorithm: Any, bucket: Bucket, h: Any) -> None:
    view = StateView()
    for p, g, state in zip(bucket.params, bucket.grads, bucket.states, strict=True):
        view.show({name: Bundle([state[name]]) for name in algorithm.buffers})
        gradient = Bundle([bucket.directed(g)])
        algorithm.update(Bundle([p]), gradient, view, h, Bundle([state["step"]]))


FORLOOP = Offer("forloop", prepare, refuse)
