"""What ranks share of matrices, kept from step to step while all of that stays the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from optkit_core.shards.exchange import Exchange, SharedTensor
from optkit_core.shards.placements import local_part_of


class SharedRow(NamedTuple):
    """What ranks share of one parameter, beside its gradient.

    Args:
        parameter: a DTensor.
        part: what this rank holds of it.
        buffers: of its state, as the optimizer has them.
    """

    parameter: Tensor
    part: Tensor
    buffers: Sequence[Any]

    @property
    def memory(self) -> list[int]:
        """Where this rank's parts lie."""
        parts = [self.part, *map(local_part_of, self.buffers)]
        return [part.data_ptr() for part in parts]

    def is_same(self, other: SharedRow) -> bool:
        """Return whether another row is of the same tensors."""
        mine, others = ((row.parameter, row.part, *row.buffers) for row in (self, other))
        return len(mine) == len(others) and all(map(is_, mine, others))


class SharedState:
    """What ranks share while parameters, states and their placements stay the same.

    Args:
        rows: the parameters that have gradients.
        tensors: what is shared of each of them.
        exchanges: in the order in which each rank makes them.
    """

    def __init__(
        self,
        rows: Sequence[SharedRow] = (),
        tensors: Mapping[Tensor, list[SharedTensor]] = MappingProxyType({}),
        exchanges: Sequence[Exchange] = (),
    ) -> None:
        """Note where everything lies."""
        self.tensors, self.exchanges = tensors, exchanges
        self._rows, self._memory = rows, [row.memory for row in rows]

    def is_of(self, rows: Sequence[SharedRow]) -> bool:
        """Return whether these are the same rows, in the same memory."""
        return (
            len(rows) == len(self._rows)
            and all(map(SharedRow.is_same, rows, self._rows))
            and [row.memory for row in rows] == self._memory
        )
