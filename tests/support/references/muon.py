"""Muon."""

from __future__ import annotations

import numpy as np

from references.averages import average
from references.trajectory import Array, State


def orthogonalized(
    x: Array, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Array:
    """Return the quintic Newton-Schulz iteration of a matrix."""
    a, b, c = coefficients
    x = x / max(np.linalg.norm(x), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def muon(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
) -> Array:
    """Jordan et al. 2024; Liu et al. 2025 for the other scale of the rate."""
    b = average(s, "momentum_buffer", g, momentum)
    direction = (1 - momentum) * g + momentum * b if nesterov else b
    rows, columns = p.shape
    if adjust_lr_fn == "match_rms_adamw":
        scale = 0.2 * np.sqrt(max(rows, columns))
    else:
        scale = np.sqrt(max(1.0, rows / columns))
    direction = orthogonalized(direction, ns_coefficients, ns_steps, eps)
    return p - lr * weight_decay * p - lr * scale * direction
