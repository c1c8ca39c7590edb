"""SOAP."""

from __future__ import annotations

import numpy as np

from references.averages import average
from references.trajectory import Array, State

AXES = {"row": 0, "column": 1}
MOMENTS = ("exp_avg", "exp_avg_sq")


def soap(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float = -1.0,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    precondition_1d: bool = False,
    correct_bias: bool = True,
) -> Array:
    """Vyas et al. 2025, algorithm 3, with the authors' first step, which only looks."""
    shape = p.shape
    if p.ndim > 2:  # the authors have an eigenbasis for each dim; here the last ones are one
        p, g = p.reshape(shape[0], -1), g.reshape(shape[0], -1)
        s.update({k: x.reshape(p.shape) for k, x in s.items() if k in MOMENTS})
    beta = betas[1] if shampoo_beta < 0 else shampoo_beta
    is_turned = g.ndim > 1 or precondition_1d
    sides = [side for side in AXES if is_turned and AXES[side] < g.ndim]
    sides = [side for side in sides if g.shape[AXES[side]] <= max_precond_dim]
    if t > 1:
        m = average(s, "exp_avg", g, betas[0])
        v = average(s, "exp_avg_sq", turned(g, s, sides) ** 2, betas[1])
        rate = lr
        if correct_bias:
            rate = lr * np.sqrt(1 - betas[1] ** (t - 1)) / (1 - betas[0] ** (t - 1))
        direction = turned(turned(m, s, sides) / (np.sqrt(v) + eps), s, sides, back=True)
        p = (p - rate * direction) * (1 - lr * weight_decay)
    else:
        s["exp_avg"], s["exp_avg_sq"] = np.zeros_like(p), np.zeros_like(p)
    for side in sides:
        unfolded = np.moveaxis(g, AXES[side], 0).reshape(g.shape[AXES[side]], -1)
        average(s, f"{side}_factor", unfolded @ unfolded.T, beta)
        if (t - 1) % precondition_frequency == 0:
            turn_basis(s, side)
    s.update({k: x.reshape(shape) for k, x in s.items() if k in MOMENTS})
    return p.reshape(shape)


def turned(x: Array, s: State, sides: list[str], back: bool = False) -> Array:
    """Return a tensor in the bases of its sides, or back from there."""
    for side in sides:
        basis, axis = s[f"{side}_basis"], AXES[side]
        x = np.moveaxis(np.tensordot(basis if back else basis.T, x, (1, axis)), 0, axis)
    return x


def turn_basis(s: State, side: str) -> None:
    """Find the eigenvectors, later by a step of the power iteration; the second moment follows.

    Where the eigenvalue is zero none is determined: the one of before stays, at first an axis.
    """
    factor = s[f"{side}_factor"]
    is_first = f"{side}_basis" not in s
    start = np.linalg.eigh(factor)[1] if is_first else s[f"{side}_basis"]
    image = factor @ start
    values = np.sum(start * image, axis=0)
    order = np.argsort(-cut(values), kind="stable")
    before = np.eye(len(factor)) if is_first else start[:, order]
    sizes = np.abs(np.diag(np.linalg.qr(image[:, order])[1]))
    s[f"{side}_basis"] = np.linalg.qr(np.where(cut(sizes) > 0, image[:, order], before))[0]
    s["exp_avg_sq"] = np.take(s["exp_avg_sq"], order, AXES[side])


def cut(values: Array) -> Array:
    """Return values without those that are rounding errors of the largest."""
    return np.where(values > len(values) * np.finfo(np.float64).eps * values.max(), values, 0.0)
