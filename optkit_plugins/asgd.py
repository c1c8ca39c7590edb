"""ASGD: gradient descent with a decreasing rate, and the average of its iterates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core import (
    Buffer,
    Elementwise,
    at_least,
    hyperparameter,
    loguniform,
    scalar_math,
    uniform,
)
from optkit_plugins.declarations import learning_rate, weight_decay_rate


class ASGD(Elementwise):
    r"""ASGD: averaged stochastic gradient descent.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`w\,\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        \theta_t &= (1 - \lambda \eta_t)\, \theta_{t-1} - \eta_t g_t, \qquad
        \eta_t = \frac{\gamma}{(1 + \lambda \gamma (t - 1))^\alpha} \\
        a_t &= a_{t-1} + \mu_t (\theta_t - a_{t-1}), \qquad
        \mu_t = \frac{1}{\max(1,\; t - 1 - t_0)}

    The buffer ``ax`` holds the average :math:`a`, of the parameter's shape and dtype; ``eta``
    and ``mu``, each one float32 number, hold :math:`\eta` and :math:`\mu` of the step to come.
    The average is what is to be used in the end: ``optimizer.state[p]["ax"]``.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-2).
        lambd: decay :math:`\lambda \ge 0` of rate and parameters (default 1e-4).
        alpha: power :math:`\alpha \ge 0` by which the rate decreases (default 0.75).
        t0: step :math:`t_0 \ge 0` from which on iterates are averaged (default 1e6).
        weight_decay: L2 penalty :math:`w \ge 0` (default 0).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = ASGD([theta], lr=0.1, lambd=0.0)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.6000, -1.9500])

    Source:
        Polyak and Juditsky, *Acceleration of Stochastic Approximation by Averaging*, SIAM
        Journal on Control and Optimization 30(4), 1992, https://doi.org/10.1137/0330046; the
        schedule of Bottou's sgd 2.0, https://leon.bottou.org/projects/sgd.
    """

    paper = "Polyak & Juditsky 1992, https://doi.org/10.1137/0330046"

    options_by_position = ("foreach", "maximize", "differentiable", "capturable")

    lr: float | Tensor = learning_rate(1e-2, 1e-3, 1.0)
    lambd: float = weight_decay_rate(1e-4, doc="decay of the rate and of parameters")
    alpha: float = hyperparameter(
        default=0.75,
        range=at_least(0.0),
        search=uniform(0.5, 1.0),
        doc="power by which the rate decreases",
    )
    t0: float = hyperparameter(
        default=1e6,
        range=at_least(0.0),
        search=loguniform(1.0, 1e6),
        doc="step from which on iterates are averaged",
    )
    weight_decay: float = weight_decay_rate()

    eta = Buffer(init="lr", kind="scalar", dtype=torch.float32, doc="learning rate now")
    mu = Buffer(init=1.0, kind="scalar", dtype=torch.float32, doc="weight of the next iterate")
    ax = Buffer(doc="average of the iterates")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        p.mul_(1 - h.lambd * s.eta).add_(g, alpha=-s.eta)
        mean = scalar_math.cond(s.mu == 1, lambda: p, lambda: s.ax + (p - s.ax) * s.mu)
        s.ax.copy_(mean)
        s.eta = h.lr / (1 + h.lambd * h.lr * t) ** h.alpha
        s.mu = 1 / scalar_math.maximum(1, t - h.t0)
