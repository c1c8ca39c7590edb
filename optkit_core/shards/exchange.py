"""Exchange: the parts of tensors travel to the rank that owns the whole ones, and back.

What travels where is kept from step to step. Whole tensors are, too, but for their memory, which
is there during a step alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from optkit_core import torch_private
from optkit_core.shards.all_to_all import acquire, release
from optkit_core.shards.meshes import MeshRanks
from optkit_core.shards.placements import is_distributed
from optkit_core.shards.regions import Box, boxes, has_all
from optkit_core.shards.travel import NOTHING, ByRank, Travel, View, Way


class SharedTensor:
    """A tensor of which ranks hold parts or replicas, and which one of them owns for a step.

    Args:
        part: what this rank holds of it.
        shape: of the whole tensor.
        placements: how it is distributed; None: each rank has all of it.
        ranks: those of its mesh.
        owner: one of them.

    Attributes:
        whole: the whole tensor, None on other ranks than the owner; without memory until
            `acquire`.
    """

    def __init__(
        self,
        part: Tensor,
        shape: torch.Size,
        placements: tuple[Any, ...] | None,
        ranks: MeshRanks,
        owner: int,
    ) -> None:
        """Make the whole tensor, unless the owner holds all of it anyway."""
        self.part, self._shape, self._placements = part, shape, placements
        self._ranks, self._owner = ranks, owner
        self.is_owned = ranks.own == owner
        self._is_there = has_all(part, shape)
        self.whole: Tensor | None = None
        if self.is_owned:
            self.whole = part if self._is_there else part.new_empty(shape)
            self.release()

    @classmethod
    def of(cls, value: Any, ranks: MeshRanks, owner: int) -> SharedTensor:
        """Return a DTensor as one, or a tensor that is the same on each rank."""
        if not is_distributed(value):
            return cls(value, value.shape, None, ranks, owner)
        part = torch_private.local_part(value)
        return cls(part, value.shape, tuple(value.placements), ranks, owner)

    def acquire(self) -> None:
        """Give the whole tensor memory."""
        if self.whole is not None and not self._is_there:
            acquire(self.whole)

    def release(self) -> None:
        """Take its memory away."""
        if self.whole is not None and not self._is_there:
            release(self.whole)

    def replace(self, part: Tensor) -> None:
        """Take another part of the same shape and dtype, another gradient for example."""
        self.part = part
        if self.whole is not None and self._is_there:
            self.whole = part

    def gather(self, sent: ByRank, received: ByRank) -> None:
        """Note what travels to the owner: a part from each rank, of one of its replicas."""
        if self._placements is None or (self.is_owned and self._is_there):
            return
        if self._ranks.gives(self._placements, self._owner):
            sent[self._owner] += self._own_views()
        if self.whole is not None:
            for rank in self._ranks.sources(self._placements, self._owner):
                received[rank] += self._views(rank)

    def scatter(self, sent: ByRank, received: ByRank) -> None:
        """Note what travels back: to each rank what it holds, to replicas too."""
        if not (self.is_owned and self._is_there):
            received[self._owner] += self._own_views()
        for rank in range(len(sent)) if self.whole is not None else ():
            if rank != self._owner or not self._is_there:
                sent[rank] += self._views(rank)

    def _views(self, rank: int) -> Iterable[View]:
        """Return what a rank holds, as views of the whole tensor."""
        return [View(self, True, box.of_whole) for box in self._boxes(rank)]

    def _own_views(self) -> Iterable[View]:
        return [View(self, False, box.of_part) for box in self._boxes(self._ranks.own)]

    def _boxes(self, rank: int) -> tuple[Box, ...]:
        shape, placements = tuple(self._shape), self._placements
        if placements is None:
            return (EVERYTHING,)
        return boxes(shape, self._ranks.shape, placements, self._ranks.coordinates[rank])


EVERYTHING = Box((...,), (...,))  # type: ignore[arg-type]
"""All of a tensor, also of one without dims, for which no slices would do."""


class Exchange:
    """Tensors that the ranks of one process group share.

    Args:
        ranks: those of a mesh.
        group: their process group.

    Attributes:
        read: what owners need.
        written: what they may have written.
        replaced: those whose parts are other tensors in each step.
    """

    def __init__(self, ranks: MeshRanks, group: Any) -> None:
        """Begin without tensors."""
        self._ranks, self._group = ranks, group
        self.read: list[SharedTensor] = []
        self.written: list[SharedTensor] = []
        self.replaced: list[SharedTensor] = []
        self._there: Travel | None = None
        self._back: Travel | None = None

    def gather(self) -> None:
        """Give the owners all they read; all ranks call it."""
        for tensor in self.read:
            tensor.acquire()
        self._there = self._there or self._travel(tensor.gather for tensor in self.read)
        self._there()

    def scatter(self) -> None:
        """Give all ranks what the owners may have written; all of them call it."""
        self._back = self._back or self._travel(tensor.scatter for tensor in self.written)
        self._back()

    def release(self) -> None:
        """Take the memory of whole tensors away, and hold no part that is replaced."""
        for tensor in self.read:
            tensor.release()
        for tensor in self.replaced:
            tensor.replace(NOTHING)
        if self._there is not None:
            self._there.forget()

    def _travel(self, notes: Iterable[Callable[[ByRank, ByRank], None]]) -> Travel:
        count = len(self._ranks.coordinates)
        sent: ByRank = [[] for _ in range(count)]
        received: ByRank = [[] for _ in range(count)]
        for note in notes:
            note(sent, received)
        replaced = frozenset(map(id, self.replaced))
        outgoing, incoming = (
            Way(self._in_group(by_rank), replaced) for by_rank in (sent, received)
        )
        return Travel(outgoing, incoming, self._group, self._ranks.device)

    def _in_group(self, by_rank: ByRank) -> ByRank:
        """Return what each rank has in the order in which the group counts them."""
        from torch.distributed import get_process_group_ranks  # there, since there is a group

        found = dict(zip(self._ranks.ranks, by_rank, strict=True))
        return [found[rank] for rank in get_process_group_ranks(self._group)]
