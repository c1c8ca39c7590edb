"""Muon and SOAP: directions that need a whole matrix."""

from __future__ import annotations

import numpy as np

from references.averages import average
from references.trajectory import Array, State


def orthogonalized(x: Array, coefficients: tuple[float, float, float], steps: int, eps: float):  # type: ignore[no-untyped-def]
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


def eigenbasis(gram: Array) -> Array:
    """Return the eigenvectors of a symmetric matrix, those of the largest values first."""
    return np.linalg.eigh(gram)[1][:, ::-1]


def soap(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
) -> Array:
    """Vyas et al. 2025, algorithm 3, with the authors' first step, which only looks."""
    beta = betas[1] if shampoo_beta is None else shampoo_beta
    sides = [g @ g.T, g.T @ g] if g.ndim == 2 else []
    if t == 1:
        s["grams"] = [(1 - beta) * side for side in sides]
        s["bases"] = [eigenbasis(gram) for gram in s["grams"]]
        return p
    m = average(s, "exp_avg", g, betas[0])
    v = average(s, "exp_avg_sq", rotated(g, s["bases"]) ** 2, betas[1])
    rate = lr * np.sqrt(1 - betas[1] ** (t - 1)) / (1 - betas[0] ** (t - 1))
    direction = rotated(m, s["bases"]) / (np.sqrt(v) + eps)
    p = p - rate * rotated(direction, [basis.T for basis in s["bases"]])
    p = p - lr * weight_decay * p
    s["grams"] = [beta * old + (1 - beta) * new for old, new in zip(s["grams"], sides, strict=True)]
    if (t - 1) % precondition_frequency == 0:
        turn_bases(s)
    return p


def rotated(x: Array, bases: list[Array]) -> Array:
    return bases[0].T @ x @ bases[1] if bases else x


def turn_bases(s: State) -> None:
    """Improve the bases by one step of the power iteration; the second moment follows in order."""
    for axis, (gram, basis) in enumerate(zip(s["grams"], s["bases"], strict=True)):
        values = np.sum(basis * (gram @ basis), axis=0)
        order = np.argsort(-values)
        s["exp_avg_sq"] = np.take(s["exp_avg_sq"], order, axis)
        s["bases"][axis] = np.linalg.qr(gram @ basis[:, order])[0]
