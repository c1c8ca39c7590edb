"""Prodigy: Adam whose rate is estimated from all parameters at once."""

from __future__ import annotations

import numpy as np

from references.trajectory import Array, State


def prodigy(
    params: list[Array],
    grads: list[Array | None],
    states: list[State],
    *,
    lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decouple: bool = True,
    use_bias_correction: bool = False,
    safeguard_warmup: bool = False,
    d0: float = 1e-6,
    d_coef: float = 1.0,
    growth_rate: float = float("inf"),
) -> list[Array]:
    """Mishchenko & Defazio 2024, algorithm 4, with the options of the authors' package."""
    shared = states[0].setdefault("shared", {"d": d0, "d_max": d0, "numerator": 0.0, "t": 0})
    slow = np.sqrt(betas[1]) if beta3 is None else beta3
    shared["t"] += 1
    d, t = shared["d"], shared["t"]
    correction = np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) if use_bias_correction else 1.0
    rate, length = d * lr * correction, 0.0
    shared["numerator"] *= slow
    coupled = 0.0 if decouple else weight_decay
    seen = [
        (p, g + coupled * p, s)
        for p, g, s in zip(params, grads, states, strict=True)
        if g is not None
    ]
    for p, g, s in seen:
        s["step"] = s.get("step", 0) + 1
        s["exp_avg"] = betas[0] * s.get("exp_avg", 0.0) + d * (1 - betas[0]) * g
        s["exp_avg_sq"] = betas[1] * s.get("exp_avg_sq", 0.0) + d**2 * (1 - betas[1]) * g**2
        away = s.setdefault("p0", p) - p
        shared["numerator"] += d / d0 * rate * np.sum(g * away)
        s["s"] = slow * s.get("s", 0.0) + d / d0 * (d if safeguard_warmup else rate) * g
        length += np.sum(np.abs(s["s"]))
    if not length:
        return params
    estimate = d_coef * shared["numerator"] / length
    first = max(d, estimate) if d == d0 else d
    shared["d_max"] = max(shared["d_max"], estimate)
    shared["d"] = min(shared["d_max"], first * growth_rate)
    return [
        p if g is None else moved(p, s, rate, shared["d"] * eps, weight_decay * decouple)
        for p, g, s in zip(params, grads, states, strict=True)
    ]


def moved(p: Array, s: State, rate: float, eps: float, weight_decay: float) -> Array:
    return p - rate * (weight_decay * p + s["exp_avg"] / (np.sqrt(s["exp_avg_sq"]) + eps))
