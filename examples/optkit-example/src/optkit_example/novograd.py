"""NovoGrad: momentum of gradients that are divided by their layer's own size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core import Buffer, Layerwise, at_least, each, hyperparameter, loguniform, within


def one_number(p: Tensor) -> tuple[int, ...]:
    """Return the shape of a buffer that has one number for a parameter."""
    return (1,) * p.dim()


def float32_or_wider(p: Tensor) -> torch.dtype:
    """Return a dtype in which the square of a norm of half-precision numbers doesn't overflow."""
    return torch.promote_types(p.dtype, torch.float32)


class NovoGrad(Layerwise):
    r"""NovoGrad: momentum of gradients, each divided by the root of its layer's mean square norm.

    With the gradient :math:`g_t` of a tensor,

    .. math::
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2) \lVert g_t \rVert^2 \\
        m_t &= \beta_1 m_{t-1} + \frac{g_t}{\sqrt{v_t} + \epsilon} + \lambda\theta_{t-1} \\
        \theta_t &= \theta_{t-1} - \gamma\, m_t

    from :math:`v_1 = \lVert g_1 \rVert^2` and :math:`m_0 = 0`.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0` (default 1e-2).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.95, 0.98)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: :math:`\lambda \ge 0` (default 0).

    Source:
        Ginsburg et al., *Stochastic Gradient Methods with Layer-wise Adaptive Moments for
        Training of Deep Networks*, 2019, algorithm 1, https://arxiv.org/abs/1905.11286.
    """

    paper = "Ginsburg et al. 2019, https://arxiv.org/abs/1905.11286"

    lr: float | Tensor = hyperparameter(
        default=1e-2, range=at_least(0.0), search=loguniform(1e-4, 1e-1), doc="learning rate"
    )
    betas: tuple[float, float] = hyperparameter(
        default=(0.95, 0.98), range=each(within(0.0, 1.0)), doc="decay of momentum and square"
    )
    eps: float = hyperparameter(default=1e-8, range=at_least(0.0), doc="keeps the root from zero")
    weight_decay: float = hyperparameter(default=0.0, range=at_least(0.0), doc="weight decay")

    exp_avg = Buffer(doc="momentum of the divided gradients")
    exp_avg_sq = Buffer(
        shape=one_number, dtype=float32_or_wider, init=None, doc="mean of the squared norms"
    )

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        beta1, beta2 = h.betas
        size = g.norm().double()
        if s.is_new:
            s.exp_avg_sq.copy_(size * size)
        else:
            s.exp_avg_sq.mul_(beta2).add_(size * size, alpha=1 - beta2)
        s.exp_avg.mul_(beta1).add_(g / s.exp_avg_sq.sqrt().add_(h.eps))
        if h.weight_decay:
            s.exp_avg.add_(p, alpha=h.weight_decay)
        p.sub_(s.exp_avg, alpha=h.lr)
