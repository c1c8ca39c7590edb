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
    weight_decay: float = 0.0,
) -> Array:
    """You et al. 2020, algorithm 2."""
    m, v = moments(g, s, betas)
    direction = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    direction = direction + weight_decay * p
    return p - lr * ratio(norm(p), norm(direction)) * direction


def lars(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    trust_coefficient: float = 1e-3,
) -> Array:
    """You et al. 2017, algorithm 1, the rate outside of the momentum as in SGD."""
    below = norm(g) + weight_decay * norm(p)
    local = trust_coefficient * norm(p) / below if norm(p) and norm(g) else 1.0
    s["momentum_buffer"] = momentum * s.get("momentum_buffer", 0.0) + local * (g + weight_decay * p)
    return p - lr * s["momentum_buffer"]
