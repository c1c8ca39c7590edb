"""AdEMAMix: Adam with a second mean of the gradients, which forgets slowly."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise, at_least, hyperparameter, scalar_math, uniform, whole
from optkit_plugins.declarations import decay_rates, epsilon, learning_rate, weight_decay_rate


class AdEMAMix(Elementwise):
    r"""AdEMAMix: a fast and a slow mean of the gradients over the root of the mean square.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``),

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        l_t &= \beta_3(t)\, l_{t-1} + (1 - \beta_3(t))\, g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        \theta_t &= \theta_{t-1} - \gamma \left( \frac{m_t / (1 - \beta_1^t) + \alpha(t)\, l_t}
            {\sqrt{v_t / (1 - \beta_2^t)} + \epsilon} + \lambda\theta_{t-1} \right)

    from :math:`m_0 = l_0 = v_0 = 0`. During ``alpha_warmup`` steps :math:`\alpha(t)` grows
    linearly from 0 to :math:`\alpha`, and during ``beta3_warmup`` steps the half-life of
    :math:`l` from that of :math:`\beta_1` to that of :math:`\beta_3`. The buffers
    ``exp_avg_fast``, ``exp_avg_slow`` and ``exp_avg_sq`` hold :math:`m`, :math:`l` and
    :math:`v`, each of the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        betas: :math:`(\beta_1, \beta_2, \beta_3)`, each in [0, 1) (default
            (0.9, 0.999, 0.9999)).
        alpha: weight of the slow mean :math:`\alpha \ge 0` (default 2).
        beta3_warmup: steps in which :math:`\beta_3` grows, or None (default None).
        alpha_warmup: steps in which :math:`\alpha` grows, or None (default None).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: decoupled decay :math:`\lambda \ge 0` (default 0).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = AdEMAMix([theta], lr=0.1, alpha_warmup=1000, beta3_warmup=1000)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -1.9000])

    Source:
        Pagliardini, Ablin and Grangier, *The AdEMAMix Optimizer: Better, Faster, Older*, ICLR
        2025, https://arxiv.org/abs/2409.03137 (algorithm 1; the schedules are those of the
        authors' code, linear in :math:`\ln 0.5 / \ln \beta`).
    """

    paper = "Pagliardini, Ablin & Grangier 2024, https://arxiv.org/abs/2409.03137"

    lr: float | Tensor = learning_rate(1e-3, 1e-5, 1e-1)
    betas: tuple[float, float, float] = decay_rates(
        0.9, 0.999, 0.9999, doc="decay of the fast mean, of the mean square and of the slow mean"
    )
    alpha: float = hyperparameter(
        default=2.0, range=at_least(0.0), search=uniform(1.0, 10.0), doc="weight of the slow mean"
    )
    beta3_warmup: int | None = hyperparameter(
        default=None, range=whole(1, optional=True), doc="steps in which beta3 grows"
    )
    alpha_warmup: int | None = hyperparameter(
        default=None, range=whole(1, optional=True), doc="steps in which alpha grows"
    )
    eps: float = epsilon(1e-8)
    weight_decay: float = weight_decay_rate(low=1e-4, high=1e-1, doc="decoupled decay")

    exp_avg_fast = Buffer(doc="mean of the gradients")
    exp_avg_slow = Buffer(doc="slow mean of the gradients")
    exp_avg_sq = Buffer(doc="mean of the squared gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        (beta1, beta2, beta3), alpha = h.betas, h.alpha
        if h.alpha_warmup:
            alpha = alpha * scalar_math.minimum(t / h.alpha_warmup, 1.0)
        if h.beta3_warmup:
            beta3 = _warmed_up(beta1, beta3, t, h.beta3_warmup)
        s.exp_avg_fast.lerp_(g, 1 - beta1)
        s.exp_avg_slow.mul_(beta3).add_(g, alpha=1 - beta3)
        s.exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = s.exp_avg_sq.sqrt().div_((1 - beta2**t) ** 0.5).add_(h.eps)
        mean = s.exp_avg_fast.mul(1 / (1 - beta1**t)).add_(s.exp_avg_slow, alpha=alpha)
        if h.weight_decay:
            p.mul_(1 - h.lr * h.weight_decay)
        p.addcdiv_(mean, root, value=-h.lr)


def _warmed_up(start: Any, end: Any, t: Any, steps: Any) -> Any:
    """Return the decay of a step, between two whose half-lives are mixed."""

    def half_life(beta: Any) -> Any:
        return scalar_math.log(0.5) / scalar_math.log(beta + 1e-8)  # beta1 may be 0

    share = t / steps
    mixed = (1 - share) * half_life(start) + share * half_life(end)
    return scalar_math.cond(share < 1, lambda: 0.5 ** (1 / mixed), lambda: end)
