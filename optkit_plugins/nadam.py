"""NAdam: Adam with Nesterov's momentum, whose decay is scheduled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core import Buffer, Elementwise, at_least, hyperparameter, loguniform, scalar_math
from optkit_plugins.declarations import flag, learning_rate, weight_decay_rate
from optkit_plugins.moments import Moments, decayed, update_moments


class NAdam(Moments, Elementwise):
    r"""NAdam: Adam that looks ahead by Nesterov's momentum.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        \mu_t &= \beta_1 \bigl(1 - \tfrac12\, 0.96^{t\psi}\bigr), \qquad
        M_t = \prod_{i=1}^t \mu_i \\
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        \theta_t &= \theta_{t-1} - \gamma \left(
            \frac{\mu_{t+1}}{1 - M_t \mu_{t+1}}\, m_t + \frac{1 - \mu_t}{1 - M_t}\, g_t
        \right) \Big/ \left( \sqrt{\frac{v_t}{1 - \beta_2^t}} + \epsilon \right)

    from :math:`m_0 = v_0 = 0`. The buffers ``exp_avg`` and ``exp_avg_sq`` hold :math:`m` and
    :math:`v`, each of the parameter's shape and dtype, and ``mu_product`` holds :math:`M`, one
    float32 number. With ``decoupled_weight_decay``, :math:`\theta_{t-1}` is first multiplied by
    :math:`1 - \gamma\lambda`, and nothing is added to the gradient.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 2e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: :math:`\lambda \ge 0` (default 0).
        momentum_decay: speed :math:`\psi \ge 0` of the schedule of :math:`\mu` (default 4e-3).
        decoupled_weight_decay: whether the parameter decays itself, as in AdamW, not by its
            gradient (default False).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = NAdam([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.8944, -1.8944])

    Source:
        Dozat, *Incorporating Nesterov Momentum into Adam*, ICLR workshop 2016, algorithm 2,
        https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ; decoupled decay as in Loshchilov and
        Hutter, *Decoupled Weight Decay Regularization*, https://arxiv.org/abs/1711.05101.
    """

    paper = "Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ"
    later_in_torch: ClassVar[Mapping[str, Any]] = {"decoupled_weight_decay": False}

    lr: float | Tensor = learning_rate(2e-3, 1e-4, 1e-1)
    weight_decay: float = weight_decay_rate(doc="weight decay")
    momentum_decay: float = hyperparameter(
        default=4e-3,
        range=at_least(0.0),
        search=loguniform(1e-4, 1e-1),
        doc="speed of the momentum's schedule",
    )
    decoupled_weight_decay: bool = flag("decay the parameter, not by its gradient")

    mu_product = Buffer(
        init=1.0, kind="scalar", dtype=torch.float32, doc="product of all momenta so far"
    )

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        (beta1, beta2), g = h.betas, decayed(p, g, h)
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (i * h.momentum_decay)) for i in (t, t + 1))
        s.mu_product *= scalar_math.float32(mu)  # as torch multiplies numbers of that dtype
        update_moments(g, s, h)
        root = s.exp_avg_sq.div(1 - beta2**t).sqrt_().add_(h.eps)
        p.addcdiv_(g, root, value=-h.lr * (1 - mu) / (1 - s.mu_product))
        p.addcdiv_(s.exp_avg, root, value=-h.lr * mu_next / (1 - s.mu_product * mu_next))
