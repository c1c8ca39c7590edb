"""Adafactor."""

from __future__ import annotations

import numpy as np

from references.averages import average
from references.trajectory import Array, State


def rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x**2)))


def adafactor(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-2,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
) -> Array:
    """Shazeer & Stern 2018, algorithms 4 and 5, with torch's eps and decay of weights."""
    eps1 = np.finfo(np.float64).eps if eps[0] is None else eps[0]
    beta2 = 1 - t**beta2_decay
    rate = max(eps[1], rms(p)) * min(lr, 1 / np.sqrt(t))
    if g.ndim > 1:
        row = average(s, "row_var", np.mean(g**2, -1, keepdims=True), beta2)
        column = average(s, "col_var", np.mean(g**2, -2, keepdims=True), beta2)
        variance = row @ column / np.maximum(np.mean(row, -2, keepdims=True), eps1)
    else:
        variance = average(s, "variance", g**2, beta2)
    update = g / np.sqrt(np.maximum(variance, eps1**2))
    return p - lr * weight_decay * p - rate * update / max(1.0, rms(update) / d)
