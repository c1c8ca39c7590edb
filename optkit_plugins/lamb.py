"""LAMB: Adam whose step in each layer is as long as a share of the layer's own norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core import Buffer, Layerwise, boolean, hyperparameter
from optkit_plugins.declarations import decay_rates, epsilon, learning_rate, weight_decay_rate


class LAMB(Layerwise):
    r"""LAMB: steps of Adam, scaled in each layer by the ratio of the layer's norm to the step's.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), for each parameter tensor

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        u_t &= \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}
            + \lambda\theta_{t-1} \\
        \theta_t &= \theta_{t-1} - \gamma\, \frac{\|\theta_{t-1}\|_2}{\|u_t\|_2}\, u_t

    from :math:`m_0 = v_0 = 0`. Where either norm is zero, and in groups with ``adapt=False``, the
    ratio is 1. The buffers ``exp_avg`` and ``exp_avg_sq`` hold :math:`m` and :math:`v`, each of
    the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-6).
        weight_decay: decoupled weight decay :math:`\lambda \ge 0` (default 0.01).
        adapt: whether steps are scaled by the ratio (default True); False for a group of biases
            and of the parameters of normalization, with ``weight_decay=0``.
        foreach: torch's flag (default None); see `optkit_core.Layerwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([3.0, -4.0]))
        >>> optimizer = LAMB([theta], lr=0.1, weight_decay=0.0)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 2.6464, -3.6464])

    Source:
        You et al., *Large Batch Optimization for Deep Learning: Training BERT in 76 minutes*,
        ICLR 2020, algorithm 2, https://arxiv.org/abs/1904.00962. The function :math:`\phi` of the
        paper is the identity, as in the authors' experiments, and :math:`\lambda` decays all
        parameters of a group.
    """

    paper = "You et al. 2020, algorithm 2, https://arxiv.org/abs/1904.00962"

    lr: float | Tensor = learning_rate(1e-3, 1e-4, 1e-1)
    betas: tuple[float, float] = decay_rates(0.9, 0.999, doc="decay of the two moments")
    eps: float = epsilon(1e-6)
    weight_decay: float = weight_decay_rate(0.01, 1e-4, 1e-1, doc="decoupled weight decay")
    adapt: bool = hyperparameter(
        default=True, range=boolean(), doc="scale steps by the layer's norm"
    )

    exp_avg = Buffer(doc="mean of the gradients")
    exp_avg_sq = Buffer(doc="mean of the squared gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        beta1, beta2 = h.betas
        s.exp_avg.lerp_(g, 1 - beta1)
        s.exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (1 - beta2**t) ** 0.5  # taken out of the root of the second moment
        u = s.exp_avg / s.exp_avg_sq.sqrt().add_(h.eps * root)
        u.mul_(root / (1 - beta1**t))
        if h.weight_decay:
            u.add_(p, alpha=h.weight_decay)
        rate = h.lr
        if h.adapt:
            size, step = p.norm().double(), u.norm().double()
            rate = torch.where((size > 0) & (step > 0), size / step, 1.0) * h.lr
        p.sub_(u, alpha=rate)
