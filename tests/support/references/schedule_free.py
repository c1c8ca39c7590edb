"""Schedule-free AdamW and SGD: an average in place of a schedule."""

from __future__ import annotations

import numpy as np

from references.averages import average
from references.trajectory import Array, State


def averaged(
    p: Array,
    direction: Array,
    s: State,
    t: int,
    *,
    lr: float,
    momentum: float,
    warmup_steps: int,
    r: float,
    weight_lr_power: float,
) -> Array:
    """Move z along a direction, and x towards z; return y between them."""
    z, x = s.get("z", p), s.get("x", p)
    rate = lr * min(1.0, t / warmup_steps) if warmup_steps else lr
    s["lr_max"] = max(rate, s.get("lr_max", -1.0))
    weight = t**r * s["lr_max"] ** weight_lr_power
    s["weight_sum"] = s.get("weight_sum", 0.0) + weight
    s["z"] = z - rate * direction
    s["x"] = x + weight / s["weight_sum"] * (s["z"] - x) if s["weight_sum"] else x
    return momentum * s["x"] + (1 - momentum) * s["z"]


def schedulefree_adamw(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 2.5e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> Array:
    """Defazio et al. 2024, algorithm 1, with the decay at y as in the authors' package."""
    v = average(s, "exp_avg_sq", g**2, betas[1])
    direction = g / (np.sqrt(v / (1 - betas[1] ** t)) + eps) + weight_decay * p
    schedule = {"warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power}
    return averaged(p, direction, s, t, lr=lr, momentum=betas[0], **schedule)


def schedulefree_sgd(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> Array:
    """Defazio et al. 2024, equations 1 to 3, with the decay at y."""
    schedule = {"warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power}
    return averaged(p, g + weight_decay * p, s, t, lr=lr, momentum=momentum, **schedule)
