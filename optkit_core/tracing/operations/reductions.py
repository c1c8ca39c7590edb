"""Reductions: one value of many, for a whole tensor or for each of its rows or columns.

A body's ``mean()`` and ``norm()`` are recorded as a sum with what is done before and after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optkit_core.tracing.extent import Extent


class Reduction(NamedTuple):
    """What reduces a value over some dims.

    Args:
        name: its name in a trace, unique.
        combine: what makes one value of two: ``"plus"``, ``"larger"`` or ``"smaller"``, which
            are functions of `arithmetic.cpp` and of `arithmetic.triton`; ``""`` for a count.
        over: the dims that it reduces.
        tensor: what computes it of a tensor, when an update is compiled.
    """

    name: str
    combine: str
    over: Extent
    tensor: Callable[[Tensor], Tensor]

    @property
    def is_count(self) -> bool:
        """Whether it counts elements, and needs none of them."""
        return not self.combine


OVER = {"": Extent.ELEMENT, "_over_rows": Extent.ROWS, "_over_columns": Extent.COLUMNS}
"""What follows the name of a reduction, by the dims that it reduces."""

IDENTITY = {"plus": "0", "larger": "-inf", "smaller": "inf"}
"""What changes nothing when it is combined with another value."""


def _of_tensor(kind: str, dim: int | None) -> Callable[[Tensor], Tensor]:
    """Return what reduces a tensor over a dim that stays, of size 1, or over all of them."""

    def reduced(x: Tensor) -> Tensor:
        if dim is not None and x.dim() < -dim:
            return x.new_ones(()) if kind == "count" else x
        if kind == "count":
            return x.new_full((), x.numel() if dim is None else x.size(dim), dtype=torch.float64)
        method = getattr(torch, kind)
        result: Tensor = method(x) if dim is None else method(x, dim=dim, keepdim=True)
        return result

    return reduced


_COMBINED = {"sum": "plus", "amax": "larger", "amin": "smaller", "count": ""}
_DIMS = {"": None, "_over_rows": -2, "_over_columns": -1}

REDUCTIONS: dict[str, Reduction] = {
    f"{kind}{suffix}": Reduction(f"{kind}{suffix}", combine, over, _of_tensor(kind, _DIMS[suffix]))
    for kind, combine in _COMBINED.items()
    for suffix, over in OVER.items()
}
"""Every reduction by its name in a trace."""
