"""What is known of a row of a bucket beside its tensors, if these are parts of DTensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from optkit_core.shards.spreads import Spread, spread_of


class ShardedRow(NamedTuple):
    """How the tensors are spread whose parts a row has.

    Args:
        position: of the parameter in the bucket, the same on all ranks.
        mesh: of the parameter.
        spread: of the parameter and its gradient.
        buffers: of each buffer, by its name.
    """

    position: int
    mesh: Any
    spread: Spread
    buffers: Mapping[str, Spread]


def sharded_row(position: int, whole: Any, state: Mapping[str, Any]) -> ShardedRow:
    """Return what is known of the row of a parameter.

    Args:
        position: of the parameter in its bucket.
        whole: the parameter.
        state: its buffers.
    """
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    buffers = {name: spread_of(value) for name, value in tensors.items()}
    return ShardedRow(position, whole.device_mesh, spread_of(whole), buffers)
