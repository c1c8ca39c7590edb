"""SGD, ASGD and Rprop."""

from __future__ import annotations

import numpy as np

from references.trajectory import Array, State


def sgd(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """Sutskever et al. 2013, section 2, in torch's form: the rate isn't in the momentum."""
    g = g + weight_decay * p
    if momentum:
        # The first gradient isn't dampened.
        fresh = "momentum_buffer" not in s
        b = g if fresh else momentum * s["momentum_buffer"] + (1 - dampening) * g
        s["momentum_buffer"] = b
        g = g + momentum * b if nesterov else b
    return p - lr * g


def asgd(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-2,
    lambd: float = 1e-4,
    alpha: float = 0.75,
    t0: float = 1e6,
    weight_decay: float = 0.0,
) -> Array:
    """Polyak & Juditsky 1992, with Bottou's rate; numbers are kept in float32, as torch does."""
    eta, mu = float(s.get("eta", np.float32(lr))), float(s.get("mu", 1.0))
    g = g + weight_decay * p
    p = p - eta * (lambd * p + g)
    average = s.get("ax", np.zeros_like(p))
    s["ax"] = average + mu * (p - average)
    s["eta"] = np.float32(lr / (1 + lambd * lr * t) ** alpha)
    s["mu"] = np.float32(1 / max(1.0, t - t0))
    return p


def rprop(
    p: Array,
    g: Array,
    s: State,
    t: int,
    *,
    lr: float = 1e-2,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50.0),
) -> Array:
    """Riedmiller & Braun 1993: a changed sign shrinks the step, and waits for the next one."""
    agreement = np.sign(g * s.get("prev", np.zeros_like(g)))
    factor = np.select([agreement < 0, agreement > 0], etas, 1.0)
    size = np.clip(s.get("step_size", np.full_like(p, lr)) * factor, *step_sizes)
    g = np.where(agreement < 0, 0.0, g)
    s["prev"], s["step_size"] = g, size
    return p - size * np.sign(g)
