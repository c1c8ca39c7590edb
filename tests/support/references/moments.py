"""Adam and its kin: a mean of the gradients over the root of a mean of their squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from references.averages import average
from references.trajectory import Array, State

Betas = tuple[float, float]


def moments(g: Array, s: State, betas: Betas) -> tuple[Array, Array]:
    return average(s, "exp_avg", g, betas[0]), average(s, "exp_avg_sq", g**2, betas[1])


def adam(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled_weight_decay: bool = False,
) -> Array:
    """Kingma & Ba 2015, algorithm 1; amsgrad of Reddi et al. 2018, algorithm 2."""
    decay = lr * weight_decay * p if decoupled_weight_decay else 0.0
    m, v = moments(g if decoupled_weight_decay else g + weight_decay * p, s, betas)
    if amsgrad:
        # Of the averages that aren't corrected for their start from zero, as torch does.
        v = s["max_exp_avg_sq"] = np.maximum(s.get("max_exp_avg_sq", 0.0), v)
    return p - decay - lr * m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def adamw(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    decoupled_weight_decay: bool = True,
) -> Array:
    """Loshchilov & Hutter 2019, algorithm 2, the decay scaled by the rate as in torch."""
    assert decoupled_weight_decay
    options: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "amsgrad": amsgrad}
    return adam(p, g, s, t, **options) - lr * weight_decay * p


def adamax(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Array:
    """Kingma & Ba 2015, section 7.1, with torch's eps beside the magnitude."""
    g = g + weight_decay * p
    m = average(s, "exp_avg", g, betas[0])
    u = s["exp_inf"] = np.maximum(betas[1] * s.get("exp_inf", 0.0), np.abs(g) + eps)
    return p - lr / (1 - betas[0] ** t) * m / u


def nadam(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
) -> Array:
    """Dozat 2016, algorithm 2; the product is kept in float32, as torch does."""
    decay = lr * weight_decay * p if decoupled_weight_decay else 0.0
    g = g if decoupled_weight_decay else g + weight_decay * p
    m, v = moments(g, s, betas)
    now, following = (betas[0] * (1 - 0.5 * 0.96 ** (step * momentum_decay)) for step in (t, t + 1))
    s["mu_product"] = s.get("mu_product", np.float32(1)) * np.float32(now)
    product = float(s["mu_product"])
    mean = following * m / (1 - product * following) + (1 - now) * g / (1 - product)
    return p - decay - lr * mean / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def radam(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> Array:
    """Liu et al. 2020, algorithm 2, from a length of 5 on, with torch's eps beside the root."""
    decay = lr * weight_decay * p if decoupled_weight_decay else 0.0
    m, v = moments(g if decoupled_weight_decay else g + weight_decay * p, s, betas)
    mean, correction = m / (1 - betas[0] ** t), 1 - betas[1] ** t
    longest = 2 / (1 - betas[1]) - 1
    length = longest - 2 * t * betas[1] ** t / correction
    if length > 5:
        above, below = (length - 4) * (length - 2), (longest - 4) * (longest - 2)
        rectification = np.sqrt(above * longest / (below * length))
        mean = mean * rectification * np.sqrt(correction) / (np.sqrt(v) + eps)
    return p - decay - lr * mean


def sparseadam(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
) -> Array:
    """Adam at the elements that a sparse gradient names, the others of which are NaN here."""
    before = {name: s.get(name, np.zeros_like(p)) for name in ("exp_avg", "exp_avg_sq")}
    m, v = moments(g, s, betas)
    # Torch's eps isn't corrected for the start from zero, unlike Adam's.
    rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    moved = p - rate * m / (np.sqrt(v) + eps)
    absent = np.isnan(g)
    s.update({name: np.where(absent, old, s[name]) for name, old in before.items()})
    return np.where(absent, p, moved)
