"""The order of the rows in training: mini-batches by chance, the same for the same seed."""

from __future__ import annotations

import torch
from torch import Tensor


def order_from(seed: int) -> torch.Generator:
    """Return what decides the order of batches, apart from whatever else draws numbers.

    Args:
        seed: where it starts.
    """
    return torch.Generator().manual_seed(seed)


def epoch(rows: int, batch_size: int, order: torch.Generator) -> tuple[Tensor, ...]:
    """Return the batches of an epoch, each a tensor of row numbers.

    Args:
        rows: how many there are.
        batch_size: how many are in a batch; the last one may have fewer.
        order: decides; it goes on to the next epoch.
    """
    return torch.split(torch.randperm(rows, generator=order), batch_size)
