"""Parameters and gradients for references, and the same for torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from references.trajectory import Array, State

STEPS = 25
ODD = [(3, 2), (3, 3)]
"""Those with which lists end: the first starts from zero, the second with gradients of zero."""

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "muon": [(19, 7), (7, 19), (8, 8), (8, 8), (5, 1)],
    "soap": [(8, 8), (6, 6), (8, 6), (8, 6), (9, 2, 3), (9,), (), *ODD],
    "sparseadam": [(19, 7), (33,), (4, 5), (6,)],
    "adafactor": [(19, 7), (33,), (), (2, 3, 4), *ODD],
}
OTHERS = [(19, 7), (33,), (), *ODD]

MEANS = {"prodigy": 0.5}
"""What gradients are around, where an estimate grows by those that agree."""


def values(
    name: str, has_gaps: bool = True, shapes: Sequence[tuple[int, ...]] = ()
) -> tuple[list[Array], list[list[Array | None]]]:
    """Return where parameters start, and at each step a gradient for each, or sometimes none.

    Gradients are of many magnitudes, so that an eps counts for some of them.
    """
    random = np.random.default_rng(7)
    shapes = shapes or SHAPES.get(name, OTHERS)
    params = [random.normal(size=shape) for shape in shapes]
    params[-2] *= 0
    steps: list[list[Array | None]] = []
    for step in range(STEPS):
        scales = [3.0 * 2.0 ** ((step + i) % 5 - 3) for i in range(len(shapes))]
        grads = [
            random.normal(MEANS.get(name, 0.0), size=s) * scale
            for s, scale in zip(shapes, scales, strict=True)
        ]
        grads[-1] *= step > 1
        if name == "soap":
            grads[1] *= 1e-8
        missing = [has_gaps and (step + i) % 6 == 5 for i in range(len(shapes))]
        steps.append([None if m else g for m, g in zip(missing, grads, strict=True)])
    return params, [
        sparse(grads, step) for step, grads in enumerate(steps)
    ] if name == "sparseadam" else steps


def sparse(grads: list[Array | None], step: int) -> list[Array | None]:
    """Return gradients that lack every other of their elements: these are NaN."""
    return [
        None
        if g is None
        else np.where(np.arange(g.size).reshape(g.shape) % 2 == step % 2, np.nan, g)
        for g in grads
    ]


def parameters(params: Sequence[Array]) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.tensor(p)) for p in params]


def gradient(g: Array | None) -> torch.Tensor | None:
    """Return torch's tensor of a gradient, a sparse one where elements are NaN."""
    if g is None or not np.isnan(g).any():
        return None if g is None else torch.tensor(g)
    at = np.nonzero(~np.isnan(g))
    indices, present = torch.tensor(np.stack(at)), torch.tensor(g[at])
    return torch.sparse_coo_tensor(indices, present, g.shape, check_invariants=True)


def entries(states: Sequence[State], key: str) -> list[Any]:
    """Return an entry of each parameter's state, where it has it."""
    return [state[key] for state in states if key in state]
