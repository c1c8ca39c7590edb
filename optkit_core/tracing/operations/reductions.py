"""Reductions: one value of many, for a whole tensor or for each of its rows or columns.

A body's ``mean()`` and ``norm()`` are recorded as a sum with what is done before and after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from optkit_core.tracing.extent import Extent


class Reduction(NamedTuple):
    """What reduces a value over some dims.

    Args:
        name: its name in a trace, unique.
        combine: what makes one value of two: ``"plus"``, ``"larger"`` or ``"smaller"``, which
            are functions of `arithmetic.cpp` and of `arithmetic.triton`; ``""`` for a count.
        over: the dims that it reduces.
        tensor: what computes it of a tensor and of the dims, when an update is compiled.
    """

    name: str
    combine: str
    over: Extent
    tensor: Callable[..., Any]

    @property
    def is_count(self) -> bool:
        """Whether it counts elements, and needs none of them."""
        return not self.combine


OVER = {"": Extent.ELEMENT, "_over_rows": Extent.ROWS, "_over_columns": Extent.COLUMNS}
"""What follows the name of a reduction, by the dims that it reduces."""

IDENTITY = {"plus": "0", "larger": "-inf", "smaller": "inf"}
"""What changes nothing when it is combined with another value."""

_KINDS: dict[str, tuple[str, Callable[..., Any]]] = {
    "sum": ("plus", torch.sum),
    "amax": ("larger", torch.amax),
    "amin": ("smaller", torch.amin),
    "count": ("", torch.numel),
}

REDUCTIONS: dict[str, Reduction] = {
    f"{kind}{suffix}": Reduction(f"{kind}{suffix}", combine, over, tensor)
    for kind, (combine, tensor) in _KINDS.items()
    for suffix, over in OVER.items()
}
"""Every reduction by its name in a trace."""
