"""RAdam: Adam whose adaptive rate is rectified while few gradients have been seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from optkit_core import Elementwise, scalar_math
from optkit_plugins.declarations import flag, weight_decay_rate
from optkit_plugins.moments import Moments, decayed, update_moments


class RAdam(Moments, Elementwise):
    r"""RAdam: Adam with a rectified adaptive rate, and without one in the first steps.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        \rho_t &= \rho_\infty - \frac{2t\beta_2^t}{1 - \beta_2^t}, \quad
            \rho_\infty = \frac{2}{1 - \beta_2} - 1 \\
        r_t &= \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}
            {(\rho_\infty - 4)(\rho_\infty - 2)\rho_t}} \\
        \theta_t &= \theta_{t-1} - \frac{\gamma m_t}{1 - \beta_1^t} \cdot
            \begin{cases}
                r_t \sqrt{1 - \beta_2^t} \,/\, (\sqrt{v_t} + \epsilon) & \rho_t > 5 \\
                1 & \text{else}
            \end{cases}

    from :math:`m_0 = v_0 = 0`. With ``decoupled_weight_decay``, :math:`\theta_{t-1}` is first
    multiplied by :math:`1 - \gamma\lambda`, and nothing is added to the gradient. The buffers
    ``exp_avg`` and ``exp_avg_sq`` hold :math:`m` and :math:`v`, each of the parameter's shape
    and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: :math:`\lambda \ge 0` (default 0).
        decoupled_weight_decay: whether the parameter decays itself, as in AdamW, not by its
            gradient (default False).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = RAdam([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.6000, -1.9500])

    Source:
        Liu et al., *On the Variance of the Adaptive Learning Rate and Beyond*, ICLR 2020,
        https://arxiv.org/abs/1908.03265 (algorithm 2). As in torch.optim the rate is adaptive
        from :math:`\rho_t > 5` on, as in the authors' code; the paper has 4.
    """

    paper = "Liu et al. 2020, https://arxiv.org/abs/1908.03265"
    later_in_torch: ClassVar[Mapping[str, Any]] = {"decoupled_weight_decay": False}

    weight_decay: float = weight_decay_rate(doc="weight decay")
    decoupled_weight_decay: bool = flag("decay the parameter, not by its gradient")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        (beta1, beta2), g = h.betas, decayed(p, g, h)
        update_moments(g, s, h)
        correction = 1 - beta2**t
        longest = 2 / (1 - beta2) - 1  # the length tends to it
        length = longest - 2 * t * beta2**t / correction
        step = s.exp_avg / (1 - beta1**t) * h.lr

        def rectified() -> Any:
            ratio = (length - 4) * (length - 2) * longest
            rect = (ratio / ((longest - 4) * (longest - 2) * length)) ** 0.5
            return step * (correction**0.5 / s.exp_avg_sq.sqrt().add_(h.eps)) * rect

        p.sub_(scalar_math.cond(length > 5, rectified, lambda: step))
