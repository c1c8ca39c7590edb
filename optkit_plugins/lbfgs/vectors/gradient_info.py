"""What is known of a gradient in numbers, and where each number stands among a block's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

GRADIENTS = 3
"""Gradients that are held: where a line starts, the best of its trials, and the latest."""

INDICES = frozenset(range(GRADIENTS))

SLOPE, PRODUCTS, MAX_NORM = 0, 1, 1 + GRADIENTS
HAS_MOVED, ORIGIN_SLOPE, HAS_CHANGED, DIRECTION_NORM, LOSS = range(MAX_NORM + 1, MAX_NORM + 6)
"""Where each of a block's numbers stands; the same list is in workspace.cpp."""


@attrs.frozen(eq=False)
class GradientInfo:
    r"""What is known of a gradient :math:`g` at a point, in numbers.

    Args:
        loss: :math:`f(x)`.
        slope: :math:`g^\top d` for the current direction.
        square: :math:`g^\top g`.
        max_norm: :math:`\lVert g \rVert_\infty`, in units of the parameters.
        products: :math:`g^\top g_i` for each gradient that is held.
        origin_slope: the slope where the line begins, if a query has asked for it.
        direction_norm: :math:`\lVert d \rVert_\infty` in units of the parameters, if
            `Block.measure_direction` was asked.
        has_moved: whether the parameters weren't at the start, if `Block.compare` was asked.
        has_changed: whether the gradient isn't what it was there, likewise.
    """

    loss: float
    slope: float
    square: float
    max_norm: float
    products: Sequence[float] = ()
    origin_slope: float = math.nan
    direction_norm: float = math.nan
    has_moved: float = 0.0
    has_changed: float = 0.0

    @property
    def is_finite(self) -> bool:
        """Whether the loss and every element of the gradient are finite."""
        # The sum of squares is infinite or NaN with any element, and also where it overflows.
        return math.isfinite(self.loss) and math.isfinite(self.square)


def free_index(*taken: int | None) -> int:
    """Return a gradient's index that isn't taken.

    >>> free_index(0, None, 2)
    1
    """
    return min(INDICES.difference(taken))
