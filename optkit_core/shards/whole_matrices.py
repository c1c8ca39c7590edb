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

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from torch import Tensor

from optkit_core.implementations import step_counters
from optkit_core.selection.offer import Launch
from optkit_core.shards import owners
from optkit_core.shards.exchange import Exchange, SharedTensor
from optkit_core.shards.local_parts import LocalParts
from optkit_core.shards.local_state import LocalState
from optkit_core.shards.meshes import Meshes, MeshRanks
from optkit_core.shards.shared_state import SharedRow, SharedState
from optkit_core.step.buckets import Bucket
from optkit_core.step.step_plan import PlannedBucket


class WholeMatrices(LocalParts):
    """The DTensors among an optimizer's matrices, and their owners during a step."""

    def __init__(self) -> None:
        """Know of no parameter."""
        super().__init__()
        self._meshes = Meshes()
        self._kept = SharedState()
        self._exchanges: Sequence[Exchange] = ()
        self._counters: list[Tensor] = []

    @property
    def outlive_steps(self) -> bool:
        """Whether there are plain tensors alone; whole matrices are there for one step."""
        return not self._parts

    def hide_gradients(self) -> None:
        """Hold neither gradients nor whole matrices beyond the step."""
        super().hide_gradients()
        for exchange in self._exchanges:
            exchange.release()
        self._exchanges, self._counters = (), []

    def put_into(self, planned: list[PlannedBucket]) -> list[PlannedBucket]:
        """Return buckets of plain tensors, and of the matrices that this rank owns.

        They don't share batches: each rank may have plain tensors that are to stay replicas.

        Args:
            planned: the buckets, with their states.
        """
        if not self._parts:
            return planned
        self._counters = []
        plain, shared = [], []
        for item in planned:
            is_shared = [item.bucket.key.native and p in self._parts for p in item.bucket.params]
            plain += _only(item, [not shared for shared in is_shared])
            shared += _only(item, is_shared)
        self._share([item.bucket for item in shared])
        return plain + [owned for item in shared for owned in self._owned(item)]

    def surrounded(self, launches: list[tuple[bool, Launch]]) -> list[tuple[bool, Launch]]:
        """Return launches with the exchanges before and after them.

        Args:
            launches: what steps each bucket, and whether autograd records it.
        """
        if not self._exchanges:
            return launches
        return [(False, self._gather), *launches, (False, self._scatter)]

    def owned(self, params: Sequence[Tensor]) -> int | None:
        """Return how many DTensors this rank steps for all ranks, if each has a gradient.

        Args:
            params: of a bucket; where none of them is a DTensor, None is returned.
        """
        owned_by = self._owners(self._parts)
        is_own = [owned_by[p] == self._ranks(p).own for p in params if p in owned_by]
        return sum(is_own) if is_own else None

    def _owners(self, params: Collection[Tensor]) -> dict[Tensor, int]:
        """Return who owns each of some DTensors, as a number among the ranks of its mesh.

        They are assigned in the order of the groups, however they are spread over buckets.
        """
        wanted, found = set(params), dict[Tensor, int]()
        by_ranks: dict[tuple[int, ...], list[Tensor]] = {}
        for p in self._parts:
            if p in wanted:
                by_ranks.setdefault(self._ranks(p).ranks, []).append(p)
        for ranks, together in by_ranks.items():
            costs = [owners.cost(p.shape) for p in together]
            found.update(zip(together, owners.assigned(costs, len(ranks)), strict=True))
        return found

    def _ranks(self, p: Any) -> MeshRanks:
        return self._meshes.ranks(p.device_mesh)

    def _owned(self, item: PlannedBucket) -> list[PlannedBucket]:
        """Return a bucket of the matrices that this rank owns, if there are any."""
        bucket, own, shared = item.bucket, [], self._kept.tensors
        for position, (p, state) in enumerate(zip(bucket.params, bucket.states, strict=True)):
            if shared[p][0].is_owned:
                own.append(position)
                wholes = [tensor.whole for tensor in shared[p] if tensor.whole is not None]
                bucket.params[position], bucket.grads[position], *buffers = wholes
                bucket.states[position] = _shown(state, bucket.names, buffers)
            elif bucket.counts_steps:
                self._counters += bucket.counters[position : position + 1]
        return [PlannedBucket(bucket.subset(own), item.choice)] if own else []

    def _share(self, buckets: Sequence[Bucket]) -> None:
        """Let ranks share parameters, gradients and buffers; as before if these are the same."""
        rows = [
            SharedRow(p, self._parts[p].tensor, [state[name] for name in bucket.names])
            for bucket in buckets
            for p, state in zip(bucket.params, bucket.states, strict=True)
        ]
        if not self._kept.is_of(rows):
            tensors = self._shared(rows)
            self._kept = SharedState(rows, tensors, self._exchanges_of(tensors))
        self._exchanges = self._kept.exchanges
        for p, _, *_ in rows:
            gradient = self._parts[p].tensor.grad
            assert gradient is not None
            self._kept.tensors[p][1].replace(gradient)

    def _shared(self, rows: Sequence[SharedRow]) -> dict[Tensor, list[SharedTensor]]:
        """Return what ranks share of each parameter: itself, its gradient, and its buffers."""
        owned_by = self._owners([row.parameter for row in rows])
        found: dict[Tensor, list[SharedTensor]] = {}
        for p, part, buffers in rows:
            ranks, placements, owner = self._ranks(p), cast(Any, p).placements, owned_by[p]
            assert part.grad is not None
            found[p] = [
                *(SharedTensor(t, p.shape, placements, ranks, owner) for t in (part, part.grad)),
                *(SharedTensor.of(buffer, ranks, owner) for buffer in buffers),
            ]
        return found

    def _exchanges_of(self, shared: Mapping[Tensor, list[SharedTensor]]) -> list[Exchange]:
        """Return the exchanges, in the order in which each rank makes them."""
        found: dict[tuple[int, ...], Exchange] = {}
        for p in self._parts:
            if p in shared:
                ranks, group = self._ranks(p), self._meshes.group(cast(Any, p).device_mesh)
                exchange = found.setdefault(ranks.ranks, Exchange(ranks, group))
                exchange.read += shared[p]
                parameter, gradient, *buffers = shared[p]
                exchange.written += [parameter, *buffers]
                exchange.replaced.append(gradient)
        return list(found.values())

    def _gather(self) -> None:
        for exchange in self._exchanges:
            exchange.gather()

    def _scatter(self) -> None:
        for exchange in self._exchanges:
            exchange.scatter()
        step_counters.advance(self._counters)  # what hasn't come hasn't been stepped


def _only(item: PlannedBucket, wanted: Sequence[bool]) -> list[PlannedBucket]:
    """Return a bucket of the wanted rows, which isn't empty, or nothing."""
    positions = [position for position, is_wanted in enumerate(wanted) if is_wanted]
    return [PlannedBucket(item.bucket.subset(positions), item.choice)] if positions else []


def _shown(state: dict[str, Any], names: Sequence[str], tensors: Sequence[Tensor]) -> LocalState:
    """Return a state as the body of the owner sees it."""
    shown = LocalState(state)
    dict.update(shown, zip(names, tensors, strict=True))
    return shown
