"""Effort: how much work goes into the pictures of an algorithm."""

from __future__ import annotations

import attrs


@attrs.frozen
class Effort:
    """What is computed for a picture.

    Args:
        rates: the learning rates that are tried on a surface; the path of the one that ends lowest
            is shown.
        steps: how many are taken on it, at most.
        options: of ``optkit compare``, for the training curves.
    """

    rates: tuple[float, ...]
    steps: int
    options: tuple[str, ...] = ()


FULL = Effort(tuple(base * 10.0**power for power in range(-4, 2) for base in (1.0, 3.0)), 500)
"""What readers see."""

SKETCH = Effort((1e-3,), 10, ("--epochs", "1", "--rates", "default"))
"""What proves that each picture can be drawn, in little time."""
