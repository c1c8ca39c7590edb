"""Whole matrices: how algorithms that need them step DTensors, of which each rank holds a part.

Each matrix has an owner. Before a step the owners get all parts of the parameters, their gradients
and their buffers, then each owner runs the update body with its own matrices, and after that all
ranks get their parts of what the body may have changed. Everything travels in one all-to-all
before the step and in one after it, for each set of ranks that hold matrices together. The state
stays what it was, a DTensor for each buffer, and checkpoints know of none of this.

A matrix of which ranks have replicas is computed once, too: they are equal in every bit then,
whatever else a rank steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from optkit_core.implementations import step_counters
from optkit_core.selection.offer import Launch
from optkit_core.shards import owners
from optkit_core.shards.exchange import Exchange, SharedTensor
from optkit_core.shards.local_parts import LocalParts
from optkit_core.shards.local_state import LocalState
from optkit_core.shards.meshes import Meshes
from optkit_core.step.buckets import Bucket
from optkit_core.step.step_plan import PlannedBucket


class WholeMatrices(LocalParts):
    """The DTensors among an optimizer's matrices, and their owners during a step."""

    def __init__(self) -> None:
        """Know of no parameter."""
        super().__init__()
        self._meshes = Meshes()
        self._exchanges: dict[Any, Exchange] = {}
        self._counters: list[Tensor] = []

    def show_gradients(self) -> bool:
        """Give every part its gradient; return whether a plan of before may hold."""
        # With DTensors none does: what owners compute with is there for one step alone.
        return super().show_gradients() and not self._parts

    def hide_gradients(self) -> None:
        """Hold neither gradients nor whole matrices beyond the step."""
        super().hide_gradients()
        self._exchanges, self._counters = {}, []

    def put_into(self, planned: list[PlannedBucket]) -> list[PlannedBucket]:
        """Return buckets of plain tensors, and of the matrices that this rank owns.

        They don't share batches: each rank may have plain tensors that are to stay replicas.

        Args:
            planned: the buckets, with their states.
        """
        if not self._parts:
            return planned
        self._exchanges, self._counters = {}, []
        plain, shared = [], []
        for item in planned:
            is_shared = [p in self._parts for p in item.bucket.params]
            plain += _only(item, [not shared for shared in is_shared])
            shared += _only(item, is_shared)
        owned_by = iter(self.owners([p for item in shared for p in item.bucket.params]))
        return plain + [
            owned
            for item in shared
            for owned in self._owned(item, [next(owned_by) for _ in item.bucket.params])
        ]

    def surrounded(self, launches: list[tuple[bool, Launch]]) -> list[tuple[bool, Launch]]:
        """Return launches with the exchanges before and after them.

        Args:
            launches: what steps each bucket, and whether autograd records it.
        """
        if not self._exchanges:
            return launches
        return [(False, self._gather), *launches, (False, self._scatter)]

    def owners(self, params: Sequence[Any]) -> list[int]:
        """Return which rank owns each matrix, as the process group of its mesh counts them.

        Args:
            params: DTensors, the same ones in the same order on every rank that has some.
        """
        by_group: dict[Any, list[int]] = {}
        for position, p in enumerate(params):
            by_group.setdefault(self._meshes.of(p.device_mesh).group, []).append(position)
        found = [0] * len(params)
        for positions in by_group.values():
            count = len(self._meshes.of(params[positions[0]].device_mesh).coordinates)
            assigned = owners.assigned([owners.cost(params[i].shape) for i in positions], count)
            for position, owner in zip(positions, assigned, strict=True):
                found[position] = owner
        return found

    def _owned(self, item: PlannedBucket, owned_by: Sequence[int]) -> list[PlannedBucket]:
        """Return a bucket of the matrices that this rank owns, if there are any."""
        bucket, own = item.bucket, []
        rows = zip(bucket.params, bucket.states, owned_by, strict=True)
        for position, (p, state, owner) in enumerate(rows):
            wholes = self._shared(p, state, owner, bucket)
            if wholes:
                own.append(position)
                bucket.params[position], bucket.grads[position], *tensors = wholes
                bucket.states[position] = _shown(state, bucket.tensors, tensors)
            elif bucket.counts_steps:
                self._counters += bucket.counters[position : position + 1]
        return [PlannedBucket(bucket.subset(own), item.choice)] if own else []

    def _shared(self, p: Any, state: dict[str, Any], owner: int, bucket: Bucket) -> list[Tensor]:
        """Let ranks share a parameter, its gradient and its state; return the owner's tensors."""
        ranks = self._meshes.of(p.device_mesh)
        part = self._parts[p].tensor
        assert part.grad is not None
        placed = tuple(p.placements)
        shared = [SharedTensor(t, p.shape, placed, ranks, owner) for t in (part, part.grad)]
        shared += [SharedTensor.of(state[name], ranks, owner) for name in bucket.tensors]
        numbers = [SharedTensor.of(state[name], ranks, owner) for name in bucket.scalars]
        exchange = self._exchanges.setdefault(ranks.group, Exchange(ranks))
        exchange.read += shared
        exchange.written += [shared[0], *shared[2:], *numbers]
        return [tensor.whole for tensor in shared if tensor.whole is not None]

    def _gather(self) -> None:
        for exchange in self._exchanges.values():
            exchange.gather()

    def _scatter(self) -> None:
        step_counters.advance(self._counters)
        for exchange in self._exchanges.values():
            exchange.scatter()


def _only(item: PlannedBucket, wanted: Sequence[bool]) -> list[PlannedBucket]:
    """Return a bucket of the wanted rows, which isn't empty, or nothing."""
    positions = [position for position, is_wanted in enumerate(wanted) if is_wanted]
    return [PlannedBucket(item.bucket.subset(positions), item.choice)] if positions else []


def _shown(state: dict[str, Any], names: Sequence[str], tensors: Sequence[Tensor]) -> LocalState:
    """Return a state as the body of the owner sees it."""
    shown = LocalState(state)
    dict.update(shown, zip(names, tensors, strict=True))
    return shown
