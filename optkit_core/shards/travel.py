"""Travel: which elements go to which rank, and come from which, as it is kept from step to step."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from optkit_core.shards.all_to_all import AllToAll

NOTHING = torch.empty(0, device="cpu")
"""What stands for a part between steps."""


class Shared(Protocol):
    """A tensor of which this rank has a part, or which it owns."""

    part: Tensor
    whole: Tensor | None


class View(NamedTuple):
    """Elements that travel.

    Args:
        shared: the tensor whose they are.
        is_of_whole: whether they are seen in the whole tensor, not in this rank's part.
        box: where.
    """

    shared: Shared
    is_of_whole: bool
    box: tuple[slice, ...]

    def tensor(self) -> Tensor:
        """Return them as they lie now."""
        memory = self.shared.whole if self.is_of_whole else self.shared.part
        assert memory is not None
        return memory[self.box]


ByRank = list[list[View]]


class Travel:
    """One way of an exchange.

    Args:
        sent: what goes to each rank.
        received: what comes from each.
        group: the process group.
        device: where its backend takes tensors.
    """

    def __init__(self, sent: Way, received: Way, group: Any, device: torch.device) -> None:
        """Find out where everything lies."""
        self._sent, self._received = sent, received
        self._all_to_all = AllToAll(sent.tensors(), received.tensors(), group, device)

    def __call__(self) -> None:
        """Let everything travel."""
        self._all_to_all(self._sent.tensors(), self._received.tensors())

    def forget(self) -> None:
        """Hold no part that is replaced."""
        self._sent.forget()


class Way:
    """Views for, or from, each rank.

    Args:
        views: those of each rank.
        replaced: the ids of the tensors whose parts are others in each step.
    """

    def __init__(self, views: ByRank, replaced: frozenset[int]) -> None:
        """Note which views stay the same."""
        self._tensors = [[view.tensor() for view in of_rank] for of_rank in views]
        self._changing = [
            (tensors, position, view)
            for tensors, of_rank in zip(self._tensors, views, strict=True)
            for position, view in enumerate(of_rank)
            if id(view.shared) in replaced and not view.is_of_whole
        ]

    def tensors(self) -> list[list[Tensor]]:
        """Return them as they lie now."""
        for tensors, position, view in self._changing:
            tensors[position] = view.tensor()
        return self._tensors

    def forget(self) -> None:
        """Hold no part that is replaced."""
        for tensors, position, _ in self._changing:
            tensors[position] = NOTHING
