"""Reading back: numbers and a loss, for which each device is waited for once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def read_back(rows: Sequence[Tensor], loss: float | Tensor) -> tuple[list[list[float]], float]:
    """Return small vectors and a loss as numbers; each device is waited for once.

    Args:
        rows: vectors of one length; where the loss fits into the first one's last place, it
            travels there.
        loss: a number, or a tensor of one element.
    """
    first = rows[0]
    if not isinstance(loss, Tensor):
        return _together(rows), float(loss)
    if loss.device == first.device and torch.promote_types(loss.dtype, first.dtype) == first.dtype:
        first[-1].copy_(loss.detach().reshape(()))
        values = _together(rows)
        return values, values[0][-1]
    return _together(rows), loss.item()


def _together(rows: Sequence[Tensor]) -> list[list[float]]:
    if len(rows) == 1:
        return [rows[0].tolist()]
    found: dict[int, list[float]] = {}
    for device in {row.device for row in rows}:
        places = [place for place, row in enumerate(rows) if row.device == device]
        packed = torch.stack([rows[place] for place in places]).tolist()
        found.update(zip(places, packed, strict=True))
    return [found[place] for place in range(len(rows))]
