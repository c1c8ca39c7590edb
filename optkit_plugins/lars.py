"""LARS: descent with momentum whose rate in each layer depends on the layer's norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core import Buffer, Layerwise, at_least, boolean, hyperparameter, uniform
from optkit_plugins.declarations import learning_rate, weight_decay_rate


class LARS(Layerwise):
    r"""LARS: in each layer the rate is a share of the layer's norm over that of its gradient.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), for each parameter tensor

    .. math::
        \gamma_t &= \gamma\, \frac{\eta\, \|\theta_{t-1}\|_2}
            {\|g_t\|_2 + \lambda \|\theta_{t-1}\|_2} \\
        v_t &= \mu v_{t-1} + \gamma_t (g_t + \lambda\theta_{t-1}) \\
        \theta_t &= \theta_{t-1} - v_t

    from :math:`v_0 = 0`. Where either norm is zero, and in groups with ``adapt=False``,
    :math:`\gamma_t = \gamma`. The buffer ``momentum_buffer`` holds :math:`v`, of the parameter's
    shape and dtype; without momentum there is none.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: global learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default
            1.0).
        momentum: :math:`\mu \ge 0` (default 0.9).
        weight_decay: L2 penalty :math:`\lambda \ge 0` (default 5e-4).
        trust_coefficient: :math:`\eta \ge 0`, the share (default 1e-3).
        adapt: whether the rate depends on norms (default True); False for a group of biases and
            of the parameters of normalization.
        foreach: torch's flag (default None); see `optkit_core.Layerwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([3.0, -4.0]))
        >>> optimizer = LARS([theta], weight_decay=0.0, trust_coefficient=0.1)
        >>> theta.grad = torch.tensor([6.0, -8.0])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 2.7000, -3.6000])

    Source:
        You, Gitman and Ginsburg, *Large Batch Training of Convolutional Networks*, 2017,
        algorithm 1, https://arxiv.org/abs/1708.03888.
    """

    paper = "You, Gitman & Ginsburg 2017, algorithm 1, https://arxiv.org/abs/1708.03888"

    lr: float | Tensor = learning_rate(1.0, 1e-1, 1e2, doc="global learning rate")
    momentum: float = hyperparameter(
        default=0.9, range=at_least(0.0), search=uniform(0.0, 0.99), doc="decay of the momentum"
    )
    weight_decay: float = weight_decay_rate(5e-4)
    trust_coefficient: float = hyperparameter(
        default=1e-3, range=at_least(0.0), doc="share of a layer's norm that a step is long"
    )
    adapt: bool = hyperparameter(default=True, range=boolean(), doc="let the rate depend on norms")

    counts_steps = False

    momentum_buffer = Buffer(when="momentum", doc="sum of the steps, decayed")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        rate = h.lr
        if h.adapt:
            size, slope = p.norm().double(), g.norm().double()
            share = size * h.trust_coefficient / (slope + size * h.weight_decay)
            rate = torch.where((size > 0) & (slope > 0), share, 1.0) * h.lr
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        if not h.momentum:
            p.sub_(g, alpha=rate)
            return
        s.momentum_buffer.mul_(h.momentum).add_(g, alpha=rate)
        p.sub_(s.momentum_buffer)
