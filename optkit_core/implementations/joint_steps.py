"""Joint steps: rows that one call of an update body steps, as foreach has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from optkit_core.implementations import scalar_buffers, step_counters
from optkit_core.implementations.bundle import Bundle
from optkit_core.implementations.layout_copies import in_one_dtype
from optkit_core.implementations.sharded_bundle import Rows
from optkit_core.implementations.state_view import StateView
from optkit_core.implementations.taped_body import Tape, Taped
from optkit_core.selection.offer import UpdateBody
from optkit_core.shards.open_passes import OpenLaunch, OpenPasses, side_by_side
from optkit_core.shards.sharded_rows import ShardedRow
from optkit_core.step.buckets import Bucket


def sharded_launch(
    algorithm: type[UpdateBody], bucket: Bucket, one_by_one: bool = False
) -> OpenLaunch:
    """Return what steps parts of DTensors by a body whose reductions are completed over the mesh.

    Rows of equal hyperparameters go together, however many they are: which rows are one call must
    not depend on what a rank has of them, and each call communicates.

    Args:
        algorithm: the class with its update body.
        bucket: the parameters, gradients and states.
        one_by_one: whether methods are applied tensor by tensor.
    """
    return OpenLaunch(partial(_sharded_passes, algorithm, bucket, one_by_one))


def _sharded_passes(algorithm: type[UpdateBody], bucket: Bucket, one_by_one: bool) -> OpenPasses:
    step_counters.advance(bucket.counters)
    is_counted = not bucket.key.capturable
    counts = step_counters.counts_of(bucket) if is_counted else [None] * len(bucket)
    alike = together(bucket, counts).items()
    yield from side_by_side(
        [
            _passes(algorithm, bucket.subset(positions).as_real(), count, one_by_one)
            for (count, *_), positions in alike
        ]
    )


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


def update(algorithm: type[UpdateBody], bucket: Bucket, count: float | None) -> None:
    """Call the update body once; where the device counts, it computes with the counters.

    Args:
        algorithm: the class with its update body.
        bucket: rows that step together, without complex tensors.
        count: the number of the step.
    """
    for part in in_one_dtype(bucket, bucket.tensors):
        cells = _call(algorithm, part, count, lambda name, tensors: Bundle(tensors))
        scalar_buffers.store(part.states, cells)


def _passes(
    algorithm: type[UpdateBody], bucket: Bucket, count: float | None, one_by_one: bool
) -> OpenPasses:
    """Call the update body once with parts of DTensors, and do in passes what it does."""
    for part in in_one_dtype(bucket, bucket.tensors):
        tape = Tape(Rows([row.mesh for row in part.sharded], one_by_one))
        cells = _call(algorithm, part, count, partial(_taped, tape, part.sharded))
        yield from tape.passes()
        scalar_buffers.store(part.states, cells)


def _taped(
    tape: Tape, sharded: Sequence[ShardedRow], name: str, tensors: Sequence[Tensor]
) -> Bundle:
    """Return a bundle of a buffer, or of what is like the parameter, for a tape."""
    spread = [row.buffers.get(name, ()) if name else row.spread for row in sharded]
    return Taped(tape, tape.rows.bundle(tensors, spread))


def _call(
    algorithm: type[UpdateBody],
    part: Bucket,
    count: float | None,
    bundle: Callable[[str, Sequence[Tensor]], Bundle],
) -> scalar_buffers.Cells:
    """Call the update body; return the scalar buffers with what it has assigned.

    Args:
        algorithm: the class with its update body.
        part: rows of one dtype.
        count: the number of the step.
        bundle: makes bundles of buffers by their names, and by ``""`` of what is like `p`.
    """
    view, h, cells = StateView(part.is_new), part.values[0], scalar_buffers.shared_cells(part)
    grads = part.directed_grads()
    view.show({n: bundle(n, [state[n] for state in part.states]) for n in part.tensors}, cells)
    t = Bundle(part.counters) if part.key.capturable and part.counts_steps else count
    algorithm.update(bundle("", part.params), bundle("", grads), view, h, t)
    return cells
