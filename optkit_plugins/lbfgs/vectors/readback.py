"""Reading numbers back from devices, each of which is waited for once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def read_back(rows: Sequence[Tensor], loss: float | Tensor) -> tuple[list[list[float]], float]:
    """Return small vectors and a loss as numbers; each device is waited for once.

    Args:
        rows: vectors of one length. The loss travels as the last element of the first one,
            where it has the device and fits into the dtype.
        loss: a number, or a tensor of one element.
    """
    first = rows[0]
    if not isinstance(loss, Tensor):
        return _to_lists(rows), float(loss)
    if loss.device == first.device and torch.promote_types(loss.dtype, first.dtype) == first.dtype:
        first[-1].copy_(loss.detach().reshape(()))
        lists = _to_lists(rows)
        return lists, lists[0][-1]
    return _to_lists(rows), loss.item()


def _to_lists(rows: Sequence[Tensor]) -> list[list[float]]:
    if len(rows) == 1:
        return [rows[0].tolist()]
    lists: dict[int, list[float]] = {}
    for device in {row.device for row in rows}:
        positions = [i for i, row in enumerate(rows) if row.device == device]
        stacked = torch.stack([rows[i] for i in positions]).tolist()
        lists.update(zip(positions, stacked, strict=True))
    return [lists[i] for i in range(len(rows))]
