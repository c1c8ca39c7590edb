"""All-to-all: tensors travel between ranks, however many they are, in one collective.

They are packed as bytes, whatever their dtypes, so that a step communicates as often for a
thousand matrices as for one. Where each lies in the bytes is found out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

ALIGNMENT = 16
"""Each tensor begins at a multiple of so many bytes, which suits every dtype."""

ByRank = Sequence[Sequence[Tensor]]
"""Tensors for, or from, each rank of a group."""


class AllToAll:
    """What copies tensors into those of other ranks.

    Args:
        sent: like what goes to each rank.
        received: like what comes from each rank, in the order in which that sends it.
        group: the process group, of gloo, NCCL or any other backend that has all-to-all.
        device: where the group's backend takes tensors.
    """

    def __init__(self, sent: ByRank, received: ByRank, group: Any, device: torch.device) -> None:
        """Find out where each tensor lies in the bytes."""
        from torch.distributed import get_rank  # there, since there is a group

        self._group, self._own = group, get_rank(group)
        self._outgoing = PackedTensors(_without(sent, self._own), device)
        self._incoming = PackedTensors(_without(received, self._own), device)

    def __call__(self, sent: ByRank, received: ByRank) -> None:
        """Let tensors travel; each rank of the group has to call it.

        Args:
            sent: what goes to each rank. What this rank sends to itself is copied.
            received: what each rank fills.
        """
        from torch.distributed import all_to_all_single  # there, since there is a group

        own, outgoing, incoming = self._own, self._outgoing, self._incoming
        _copy(received[own], sent[own])
        with outgoing, incoming:
            _copy(outgoing.tensors, _joined(_without(sent, own)))
            sizes = incoming.bytes_by_rank, outgoing.bytes_by_rank
            all_to_all_single(incoming.memory, outgoing.memory, *sizes, self._group)
            _copy(_joined(_without(received, own)), incoming.tensors)


class PackedTensors:
    """Memory in which tensors lie one after the other; there is none of it until it is entered.

    Args:
        by_rank: like the tensors that are to be packed, those of each rank together.
        device: where.

    Attributes:
        bytes_by_rank: how much each rank has of it.
        tensors: views of the memory, as the tensors are, in their order.
    """

    def __init__(self, by_rank: ByRank, device: torch.device) -> None:
        """Lay out the memory."""
        sizes = [[_size(tensor) for tensor in tensors] for tensors in by_rank]
        self.bytes_by_rank = list(map(sum, sizes))
        self.memory = torch.empty(sum(self.bytes_by_rank), dtype=torch.uint8, device=device)
        places = torch.split(self.memory, list(chain.from_iterable(sizes)))
        pairs = zip(places, chain.from_iterable(by_rank), strict=True)
        self.tensors = [_as(place, tensor) for place, tensor in pairs]
        release(self.memory)

    def __enter__(self) -> None:
        acquire(self.memory)

    def __exit__(self, *error: object) -> None:
        release(self.memory)


def acquire(tensor: Tensor) -> None:
    """Give a contiguous tensor memory, without values, in which its views lie too."""
    tensor.untyped_storage().resize_(tensor.nbytes)


def release(tensor: Tensor) -> None:
    """Take the memory of a tensor and its views away, which stay for `acquire`."""
    tensor.untyped_storage().resize_(0)


def _size(tensor: Tensor) -> int:
    """Return how many bytes a tensor takes."""
    return -(-tensor.numel() * tensor.itemsize // ALIGNMENT) * ALIGNMENT


def _as(place: Tensor, tensor: Tensor) -> Tensor:
    """Return bytes as a tensor like another one."""
    return place[: tensor.numel() * tensor.itemsize].view(tensor.dtype).view(tensor.shape)


def _without(by_rank: ByRank, rank: int) -> list[Sequence[Tensor]]:
    return [() if number == rank else tensors for number, tensors in enumerate(by_rank)]


def _joined(by_rank: ByRank) -> list[Tensor]:
    return list(chain.from_iterable(by_rank))


def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(list(targets), list(sources))
