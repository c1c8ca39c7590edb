"""The communicator: how numbers of all ranks come together, the same bits on each of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs
import torch
from torch import Tensor

# A torch that was built without distributed has no such class.
if TYPE_CHECKING:
    ProcessGroup: TypeAlias = torch.distributed.ProcessGroup

Rows: TypeAlias = list[list[float]]


@attrs.frozen(eq=False)
class Communicator:
    """The ranks that hold the parameters together, and the groups by which they are reached.

    Nothing is reduced on the way: every rank gets the numbers of all ranks, and adds them up in
    the order of the ranks. So all get the same sums, to the last bit, and decide alike.

    Args:
        groups: the process groups that a row goes through, one after the other; all ranks are
            reached by a single one, unless these are some rows and columns of a larger mesh.
        device: where the groups take tensors.
        size: the number of ranks.
    """

    groups: Sequence[ProcessGroup]
    device: torch.device
    size: int

    def gather(self, row: Sequence[float]) -> Rows:
        """Return the rows of all ranks, in their order; everybody has to call it.

        Args:
            row: this rank's numbers, as many as every rank has.
        """
        numbers = torch.tensor(row, dtype=torch.float64, device=self.device)
        for group in self.groups:
            numbers = _gathered(numbers, group)
        rows: Rows = numbers.view(self.size, len(row)).tolist()
        return rows

    def add(self, vector: Tensor) -> None:
        """Add the vectors of all ranks up, in place.

        Args:
            vector: this rank's, in float64 on the CPU, as long as every rank's.
        """
        numbers = vector.to(self.device)
        for group in self.groups:
            numbers = _gathered(numbers, group)
        # Row by row, since torch adds as many at once as the processor likes.
        first, *others = numbers.cpu().view(self.size, -1)
        vector.copy_(first)
        for other in others:
            vector.add_(other)


def _gathered(numbers: Tensor, group: ProcessGroup) -> Tensor:
    size = torch.distributed.get_world_size(group)
    found = numbers.new_empty(size, numbers.numel())
    torch.distributed.all_gather(list(found), numbers, group=group)
    return found.view(-1)


def largest(numbers: Iterable[float]) -> float:
    """Return the largest number, or NaN if there is one, which max() may lose; 0 of none.

    >>> largest([1.0, math.nan, 2.0]), largest([])
    (nan, 0.0)
    """
    most = 0.0
    for number in numbers:
        if math.isnan(number):
            return number
        most = max(most, number)
    return most
