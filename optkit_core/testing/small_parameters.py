"""Small parameters: a few of them, for checks in which sizes and layouts don't matter."""

from __future__ import annotations

import torch
from torch import Tensor

from optkit_core.testing.problems import random
from optkit_core.testing.subject import Subject

SIZES = (5, 4, 3, 2)
"""The sizes of a parameter of four dimensions, and the first of them for one of fewer."""


def small_parameters(
    subject: Subject, dtype: torch.dtype | None = None, sizes: tuple[int, ...] = SIZES
) -> list[Tensor]:
    """Return three new parameters, as different in shape as the algorithm allows.

    Args:
        subject: what is checked.
        dtype: of the parameters; None (default): the subject's.
        sizes: of a parameter of four dimensions, and the first of them for one of fewer.
    """
    allowed = [dim for dim in (1, 2, 3, 4, 5) if subject.takes_dims(dim)]
    shapes = [sizes[:dim] for dim in (allowed * 3)[:3]]
    return [
        random(shape, dtype or subject.dtype, seed).to(subject.device)
        for seed, shape in enumerate(shapes)
    ]
