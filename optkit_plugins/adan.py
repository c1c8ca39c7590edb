"""Adan: Nesterov's momentum from the differences between successive gradients."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise
from optkit_plugins.declarations import decay_rates, epsilon, flag, learning_rate, weight_decay_rate


class Adan(Elementwise):
    r"""Adan: adaptive Nesterov momentum, from gradients and the differences between them.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``) and the difference
    :math:`d_t = g_t - g_{t-1}`,

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, d_t \\
        n_t &= \beta_3 n_{t-1} + (1 - \beta_3)\, (g_t + \beta_2 d_t)^2 \\
        \eta_t &= \gamma \,/\, (\sqrt{n_t / (1 - \beta_3^t)} + \epsilon) \\
        \theta_t &= \frac{1}{1 + \gamma\lambda} \left( \theta_{t-1} - \eta_t \left(
            \frac{m_t}{1 - \beta_1^t} + \frac{\beta_2 v_t}{1 - \beta_2^t} \right) \right)

    from :math:`m_0 = v_0 = n_0 = 0` and :math:`g_0 = g_1`. With ``no_prox``, :math:`\theta_{t-1}`
    is multiplied by :math:`1 - \gamma\lambda` first, and nothing is divided. The buffers
    ``exp_avg``, ``exp_avg_diff``, ``exp_avg_sq`` and ``pre_grad`` hold :math:`m`, :math:`v`,
    :math:`n` and :math:`g`, each of the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        betas: :math:`(\beta_1, \beta_2, \beta_3)`, each in [0, 1) (default (0.98, 0.92, 0.99)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: :math:`\lambda \ge 0` (default 0).
        no_prox: whether to decay as AdamW does (default False).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Adan([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -1.9000])

    Source:
        Xie et al., *Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep
        Models*, 2022, https://arxiv.org/abs/2208.06677 (algorithm 1 without restarts). As in the
        authors' code the betas say what stays, the paper's what is new, and all means are
        corrected for their start from zero.
    """

    paper = "Xie et al. 2022, https://arxiv.org/abs/2208.06677"

    lr: float | Tensor = learning_rate(1e-3, 1e-5, 1e-1)
    betas: tuple[float, float, float] = decay_rates(
        0.98, 0.92, 0.99, doc="decay of the means of gradients, differences and squares"
    )
    eps: float = epsilon(1e-8)
    weight_decay: float = weight_decay_rate(low=1e-4, high=1e-1, doc="weight decay")
    no_prox: bool = flag("decay as AdamW does", is_searched=False)

    exp_avg = Buffer(doc="mean of the gradients")
    exp_avg_diff = Buffer(doc="mean of the differences between gradients")
    exp_avg_sq = Buffer(doc="mean of the squared gradients, each with its difference")
    pre_grad = Buffer(init=None, doc="last gradient")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        beta1, beta2, beta3 = h.betas
        difference = g - (g if s.is_new else s.pre_grad)
        s.exp_avg.lerp_(g, 1 - beta1)
        s.exp_avg_diff.lerp_(difference, 1 - beta2)
        ahead = g.add(difference, alpha=beta2)
        s.exp_avg_sq.mul_(beta3).addcmul_(ahead, ahead, value=1 - beta3)
        s.pre_grad.copy_(g)
        root = s.exp_avg_sq.sqrt().div_((1 - beta3**t) ** 0.5).add_(h.eps)
        mean = s.exp_avg.mul(1 / (1 - beta1**t))
        mean.add_(s.exp_avg_diff, alpha=beta2 / (1 - beta2**t))
        if h.weight_decay and h.no_prox:
            p.mul_(1 - h.lr * h.weight_decay)
        p.addcdiv_(mean, root, value=-h.lr)
        if h.weight_decay and not h.no_prox:
            p.div_(1 + h.lr * h.weight_decay)
