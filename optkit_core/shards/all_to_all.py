"""All-to-all: tensors travel between ranks, however many they are, in one collective.

They are packed as bytes, whatever their dtypes, so that a step communicates as often for a
thousand matrices as for one.
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


def all_to_all(sent: ByRank, received: ByRank, group: Any, device: torch.device) -> None:
    """Copy tensors into those of other ranks; each rank of the group has to call it.

    Args:
        sent: what goes to each rank. What this rank sends to itself is copied.
        received: what each rank fills, of the shapes and dtypes that it sends, in its order.
        group: the process group, of gloo, NCCL or any other backend that has all-to-all.
        device: where the group's backend takes tensors.
    """
    from torch.distributed import all_to_all_single, get_rank  # there, since there is a group

    own = get_rank(group)
    _copy(received[own], sent[own])
    sent, received = _without(sent, own), _without(received, own)
    outgoing, incoming = PackedTensors(sent, device), PackedTensors(received, device)
    _copy(outgoing.tensors, list(chain.from_iterable(sent)))
    all_to_all_single(
        incoming.memory, outgoing.memory, incoming.bytes_by_rank, outgoing.bytes_by_rank, group
    )
    _copy(list(chain.from_iterable(received)), incoming.tensors)


class PackedTensors:
    """Memory in which tensors lie one after the other, without values as yet.

    Args:
        by_rank: the tensors that are to be packed, those of each rank together.
        device: where.

    Attributes:
        bytes_by_rank: how much each rank has of it.
        tensors: views of the memory, as the tensors are, in their order.
    """

    def __init__(self, by_rank: ByRank, device: torch.device) -> None:
        """Allocate the memory."""
        sizes = [[_size(tensor) for tensor in tensors] for tensors in by_rank]
        self.bytes_by_rank = list(map(sum, sizes))
        self.memory = torch.empty(sum(self.bytes_by_rank), dtype=torch.uint8, device=device)
        places = torch.split(self.memory, list(chain.from_iterable(sizes)))
        pairs = zip(places, chain.from_iterable(by_rank), strict=True)
        self.tensors = [_as(place, tensor) for place, tensor in pairs]


def _size(tensor: Tensor) -> int:
    """Return how many bytes a tensor takes."""
    return -(-tensor.numel() * tensor.itemsize // ALIGNMENT) * ALIGNMENT


def _as(place: Tensor, tensor: Tensor) -> Tensor:
    """Return bytes as a tensor like another one."""
    return place[: tensor.numel() * tensor.itemsize].view(tensor.dtype).view(tensor.shape)


def _without(by_rank: ByRank, rank: int) -> list[Sequence[Tensor]]:
    return [() if number == rank else tensors for number, tensors in enumerate(by_rank)]


def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(list(targets), list(sources))
