"""Lion: steps of one size, in the direction of the sign of an interpolated momentum."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise
from optkit_plugins.declarations import decay_rates, learning_rate, weight_decay_rate


class Lion(Elementwise):
    r"""Lion: the sign of an interpolated momentum, with decoupled weight decay.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``),

    .. math::
        c_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        \theta_t &= \theta_{t-1} - \gamma\, (\operatorname{sign}(c_t) + \lambda\theta_{t-1}) \\
        m_t &= \beta_2 m_{t-1} + (1 - \beta_2)\, g_t

    from :math:`m_0 = 0`. The buffer ``exp_avg`` holds :math:`m`, of the parameter's shape and
    dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-4);
            the authors advise a third to a tenth of AdamW's.
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.9, 0.99)).
        weight_decay: :math:`\lambda \ge 0` (default 0); the authors advise three to ten times
            AdamW's.
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Lion([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -1.9000])

    Source:
        Chen et al., *Symbolic Discovery of Optimization Algorithms*, NeurIPS 2023,
        https://arxiv.org/abs/2302.06675 (algorithm 2).
    """

    paper = "Chen et al. 2023, https://arxiv.org/abs/2302.06675"

    lr: float | Tensor = learning_rate(1e-4, 1e-6, 1e-2)
    betas: tuple[float, float] = decay_rates(0.9, 0.99, doc="interpolation, and decay")
    weight_decay: float = weight_decay_rate(low=1e-4, high=1.0, doc="decoupled decay")

    exp_avg = Buffer(doc="momentum")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        beta1, beta2 = h.betas
        if h.weight_decay:
            p.mul_(1 - h.lr * h.weight_decay)
        p.add_(s.exp_avg.lerp(g, 1 - beta1).sign_(), alpha=-h.lr)
        s.exp_avg.lerp_(g, 1 - beta2)
