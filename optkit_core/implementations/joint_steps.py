"""Joint steps: rows that one call of an update body steps, as foreach has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from optkit_core.implementations import scalar_buffers, step_counters
from optkit_core.implementations.bundle import Bundle
from optkit_core.implementations.layout_copies import in_one_dtype
from optkit_core.implementations.sharded_bundle import Rows
from optkit_core.implementations.state_view import StateView
from optkit_core.selection.offer import UpdateBody
from optkit_core.shards.spreads import Spread
from optkit_core.step.buckets import Bucket


def run_sharded(algorithm: type[UpdateBody], bucket: Bucket, one_by_one: bool = False) -> None:
    """Step parts of DTensors by a body whose reductions are completed over the mesh.

    Rows of equal hyperparameters go together, however many they are: which rows are one call must
    not depend on what a rank has of them, and each call communicates.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        one_by_one: whether methods are applied tensor by tensor.
    """
    step_counters.advance(bucket.counters)
    is_counted = not bucket.key.capturable
    counts = step_counters.counts_of(bucket) if is_counted else [None] * len(bucket)
    for (count, *_), positions in together(bucket, counts).items():
        update(algorithm, bucket.subset(positions).as_real(), count, one_by_one)


def together(bucket: Bucket, counts: Sequence[float | None]) -> dict[Any, list[int]]:
    """Return the positions of each count and combination of hyperparameters and scalar buffers.

    Args:
        bucket: the parameters, gradients and states.
        counts: the number of the step that each row takes.
    """
    scalars = () if bucket.key.capturable else bucket.scalars
    keys = {index: _key(index, bucket.hyperparameters[index]) for index in set(bucket.groups)}
    positions: dict[Any, list[int]] = defaultdict(list)
    for position, (count, index) in enumerate(zip(counts, bucket.groups, strict=True)):
        held = scalar_buffers.read(bucket.states[position], scalars)
        positions[count, keys[index], held].append(position)
    return positions


def _key(index: int, h: SimpleNamespace) -> Any:
    """Return what groups of equal hyperparameters share; a tensor is equal to itself alone."""
    values = tuple(vars(h).values())
    try:
        hash(values)
    # A value that can't be hashed, a list for example; such a group goes by itself.
    except TypeError:
        return index
    return values if not any(isinstance(value, Tensor) for value in values) else index


def update(
    algorithm: type[UpdateBody], bucket: Bucket, count: float | None, one_by_one: bool = False
) -> None:
    """Call the update body once; where the device counts, it computes with the counters.

    Args:
        algorithm: the class with its update body.
        bucket: rows that step together, without complex tensors.
        count: the number of the step.
        one_by_one: whether methods are applied tensor by tensor, to parts of DTensors.
    """
    names, h = bucket.tensors, bucket.values[0]
    view = StateView(bucket.is_new)
    for part in in_one_dtype(bucket, names):
        bundle = _bundles(part, one_by_one)
        grads, cells = part.directed_grads(), scalar_buffers.shared_cells(part)
        view.show({n: bundle(n, [state[n] for state in part.states]) for n in names}, cells)
        t = Bundle(part.counters) if bucket.key.capturable and bucket.counts_steps else count
        algorithm.update(bundle("", part.params), bundle("", grads), view, h, t)
        scalar_buffers.store(part.states, cells)


def _bundles(bucket: Bucket, one_by_one: bool) -> Callable[[str, Sequence[Tensor]], Bundle]:
    """Return what makes bundles of the buffers by their names, and by none of what is like `p`."""
    if not bucket.key.sharded:
        return lambda name, tensors: Bundle(tensors)
    rows = bucket.sharded
    shared = Rows([row.mesh for row in rows], one_by_one)
    known: dict[str, Sequence[Spread]] = {"": [row.spread for row in rows]}
    return lambda name, tensors: shared.bundle(
        tensors, known.get(name) or [row.buffers.get(name, ()) for row in rows]
    )
