"""The states of a bucket's parameters: those that are there, and those that come into being."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from itertools import chain, compress
from typing import Any

from torch import Tensor

from optkit_core.declaration import unset_buffers
from optkit_core.declaration.buffers import STEP
from optkit_core.shards.placements import local_part_of
from optkit_core.step.buckets import Bucket

States = MutableMapping[Tensor, dict[str, Any]]
"""The states of all parameters of an optimizer."""

Allocate = Callable[[list[Tensor], int], Iterable[Iterable[tuple[str, Any]]]]
"""Returns the state before their first step of parameters of a group, given its index."""


def attach_states(
    bucket: Bucket, states: States, allocate: Allocate, set_by_body: Collection[str] = ()
) -> None:
    """Give a bucket the state of every parameter, and allocate what isn't there.

    State on the meta device counts for none once its parameter has memory.

    Args:
        bucket: gets its `states`, and learns which are `new` and which `unset`.
        states: of all parameters of the optimizer.
        allocate: returns the state of parameters before their first step.
        set_by_body: the names of buffers that the update body sets in their first step.
    """
    bucket.shapes = [p.shape for p in bucket.params]
    wanted = frozenset(bucket.state_names)
    if not wanted:  # no state at all: torch has no entry for such a parameter either
        bucket.states = [states.get(p, {}) for p in bucket.params]
        return
    # `states` is a defaultdict: this makes the dicts that are filled below.
    bucket.states = [states[p] for p in bucket.params]
    awaited = wanted.intersection(set_by_body)
    if awaited:
        bucket.unset = frozenset(_unset(bucket.states, awaited))
    bucket.new = _allocate_lacking(bucket, wanted, allocate)


def _allocate_lacking(bucket: Bucket, wanted: frozenset[str], allocate: Allocate) -> frozenset[int]:
    """Allocate what states lack, a group's at once; return the positions of these states."""
    lacking: dict[int, list[int]] = {}
    for position, present in enumerate(bucket.states):
        if not wanted <= present.keys() or _is_unmaterialized(bucket, present):
            lacking.setdefault(bucket.groups[position], []).append(position)
    for group, positions in lacking.items():
        allocated = allocate([bucket.params[i] for i in positions], group)
        for position, buffers in zip(positions, allocated, strict=True):
            present = bucket.states[position]
            known = () if _is_unmaterialized(bucket, present) else present.keys()
            present.update([(name, value) for name, value in buffers if name not in known])
    return frozenset(chain.from_iterable(lacking.values()))


def _is_unmaterialized(bucket: Bucket, state: Mapping[str, Any]) -> bool:
    if bucket.key.device.type == "meta":
        return False
    return any(isinstance(value, Tensor) and value.is_meta for value in state.values())


def _unset(states: list[dict[str, Any]], awaited: frozenset[str]) -> Iterator[int]:
    """Return which states have buffers that a body is still to set: some may be allocated."""
    uncounted = []
    for position, state in enumerate(states):
        if not awaited <= state.keys() or (STEP in state and not state[STEP]):
            yield position
        elif STEP not in state:
            uncounted.append(position)
    for name in awaited:
        are_unset = unset_buffers.are_unset([local_part_of(states[i][name]) for i in uncounted])
        yield from compress(uncounted, are_unset)
