"""Adagrad, Adadelta and RMSprop: rates of each element's own."""

from __future__ import annotations

import numpy as np

from references.averages import average
from references.trajectory import Array, State


def adagrad(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Array:
    """Duchi et al. 2011, figure 1, the diagonal form, with torch's eps outside the root."""
    g = g + weight_decay * p
    s["sum"] = s.get("sum", initial_accumulator_value) + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)


def adadelta(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Array:
    """Zeiler 2012, algorithm 1: eps inside both roots."""
    g = g + weight_decay * p
    root = np.sqrt(average(s, "square_avg", g**2, rho) + eps)
    delta = np.sqrt(s.get("acc_delta", 0.0) + eps) / root * g
    average(s, "acc_delta", delta**2, rho)
    return p - lr * delta


def rmsprop(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> Array:
    """Hinton's lecture 6e; Graves 2013, equations 38 to 41, for the centered form."""
    g = g + weight_decay * p
    variance = average(s, "square_avg", g**2, alpha)
    if centered:
        variance = variance - average(s, "grad_avg", g, alpha) ** 2
    direction = g / (np.sqrt(variance) + eps)
    if momentum:
        direction = s["momentum_buffer"] = momentum * s.get("momentum_buffer", 0.0) + direction
    return p - lr * direction
