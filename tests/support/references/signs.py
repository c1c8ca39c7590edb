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
    alpha: float = 2.0,
    beta3_warmup: int | None = None,
    alpha_warmup: int | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Array:
    """Pagliardini et al. 2025, algorithm 1, with the two schedules of section 3."""
    beta1, beta2, beta3 = betas
    if alpha_warmup:
        alpha = alpha * min(1.0, t / alpha_warmup)
    if beta3_warmup and t < beta3_warmup:
        share = t / beta3_warmup
        # The authors' code adds 1e-8, so that beta1 may be zero.
        first, last = np.log(beta1 + 1e-8), np.log(beta3 + 1e-8)
        beta3 = np.exp(first * last / ((1 - share) * last + share * first))
    fast = average(s, "exp_avg_fast", g, beta1) / (1 - beta1**t)
    v = average(s, "exp_avg_sq", g**2, beta2) / (1 - beta2**t)
    mean = fast + alpha * average(s, "exp_avg_slow", g, beta3)
    return p - lr * (mean / (np.sqrt(v) + eps) + weight_decay * p)
