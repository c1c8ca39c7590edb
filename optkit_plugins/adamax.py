"""Adamax: Adam with the infinity norm in place of the root of the second moment."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise
from optkit_plugins.declarations import decay_rates, epsilon, learning_rate, weight_decay_rate


class Adamax(Elementwise):
    r"""Adamax: mean gradient divided by an exponentially weighted infinity norm.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        u_t &= \max(\beta_2 u_{t-1},\; |g_t| + \epsilon) \\
        \theta_t &= \theta_{t-1} - \frac{\gamma}{1 - \beta_1^t}\, \frac{m_t}{u_t}

    from :math:`m_0 = u_0 = 0`. The buffers ``exp_avg`` and ``exp_inf`` hold :math:`m` and
    :math:`u`, each of the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 2e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the norm from zero (default 1e-8).
        weight_decay: L2 penalty :math:`\lambda \ge 0` (default 0).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Adamax([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -1.9000])

    Source:
        Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015, section 7.1,
        https://arxiv.org/abs/1412.6980. As in torch.optim, eps is added to the gradient's
        magnitude; the paper has none.
    """

    paper = "Kingma & Ba 2015, section 7.1, https://arxiv.org/abs/1412.6980"

    lr: float | Tensor = learning_rate(2e-3, 1e-4, 1e-1)
    betas: tuple[float, float] = decay_rates(0.9, 0.999, doc="decay of the mean and of the norm")
    eps: float = epsilon(1e-8, doc="keeps the norm from zero")
    weight_decay: float = weight_decay_rate()

    exp_avg = Buffer(doc="mean of the gradients")
    exp_inf = Buffer(doc="infinity norm of the gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        beta1, beta2 = h.betas
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        s.exp_avg.lerp_(g, 1 - beta1)
        s.exp_inf.mul_(beta2).clamp_min_(g.abs().add_(h.eps))
        p.addcdiv_(s.exp_avg, s.exp_inf, value=-h.lr / (1 - beta1**t))
