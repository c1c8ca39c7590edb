"""Lion, Adan and AdEMAMix: other uses of momentum."""

from __future__ import annotations

import numpy as np

from references.averages import average
from references.trajectory import Array, State

Three = tuple[float, float, float]


def lion(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> Array:
    """Chen et al. 2023, algorithm 2, the decay scaled by the rate."""
    direction = np.sign(betas[0] * s.get("exp_avg", 0.0) + (1 - betas[0]) * g)
    average(s, "exp_avg", g, betas[1])
    return p - lr * (direction + weight_decay * p)


def adan(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    betas: Three = (0.98, 0.92, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    no_prox: bool = False,
) -> Array:
    """Xie et al. 2024, algorithm 1, in the authors' code's convention: 1 - beta of the paper."""
    difference = g - s.get("pre_grad", g)
    s["pre_grad"] = g
    m = average(s, "exp_avg", g, betas[0])
    v = average(s, "exp_avg_diff", difference, betas[1])
    n = average(s, "exp_avg_sq", (g + betas[1] * difference) ** 2, betas[2])
    mean = m / (1 - betas[0] ** t) + betas[1] * v / (1 - betas[1] ** t)
    direction = lr * mean / (np.sqrt(n / (1 - betas[2] ** t)) + eps)
    if no_prox:
        return (1 - lr * weight_decay) * p - direction
    return (p - direction) / (1 + lr * weight_decay)


def ademamix(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    betas: Three = (0.9, 0.999, 0.9999),
    alpha: float = 5.0,
    warmup: int | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Array:
    """Pagliardini et al. 2025, algorithm 1, with its schedules of alpha and beta3."""
    if warmup and t < warmup:
        share = t / warmup
        logs = np.log(betas[0]), np.log(betas[2])
        slow = np.exp(logs[0] * logs[1] / ((1 - share) * logs[1] + share * logs[0]))
        alpha, slow = alpha * share, min(slow, betas[2])
    else:
        slow = betas[2]
    fast = average(s, "exp_avg", g, betas[0]) / (1 - betas[0] ** t)
    v = average(s, "exp_avg_sq", g**2, betas[1]) / (1 - betas[1] ** t)
    mean = fast + alpha * average(s, "exp_avg_slow", g, slow)
    return p - lr * (mean / (np.sqrt(v) + eps) + weight_decay * p)
