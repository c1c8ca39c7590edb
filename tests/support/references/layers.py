"""LAMB and LARS: a trust ratio for each tensor."""

from __future__ import annotations

import numpy as np

from references.moments import Betas, moments
from references.trajectory import Array, State


def ratio(above: float, below: float) -> float:
    """Return the quotient of two norms, 1 where either is zero."""
    return above / below if above and below else 1.0


def norm(x: Array) -> float:
    return float(np.sqrt(np.sum(x**2)))


def lamb(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.01,
    adapt: bool = True,
) -> Array:
    """You et al. 2020, algorithm 2."""
    m, v = moments(g, s, betas)
    direction = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    direction = direction + weight_decay * p
    trust = ratio(norm(p), norm(direction)) if adapt else 1.0
    return p - lr * trust * direction


def lars(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    trust_coefficient: float = 1e-3,
    adapt: bool = True,
) -> Array:
    """You et al. 2017, algorithm 1, with its rates in the momentum."""
    local = 1.0
    if adapt and norm(p) and norm(g):
        local = trust_coefficient * norm(p) / (norm(g) + weight_decay * norm(p))
    moved = lr * local * (g + weight_decay * p)
    if momentum:
        moved = s["momentum_buffer"] = momentum * s.get("momentum_buffer", 0.0) + moved
    return p - moved
