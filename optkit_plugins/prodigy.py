"""Prodigy: Adam whose learning rate is estimated from all parameters as training goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optkit_core import (
    Buffer,
    Elementwise,
    Total,
    WithTotals,
    at_least,
    boolean,
    estimate,
    hyperparameter,
    loguniform,
    within,
)
from optkit_plugins.declarations import (
    decay_rates,
    epsilon,
    flag,
    float32_or_wider,
    weight_decay_rate,
)


class Prodigy(WithTotals, Elementwise):
    r"""Prodigy: Adam, with a step size from how far the parameters have come along the gradients.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``decouple`` is False, and the rate
    :math:`\gamma_t = \gamma d_{t-1}`, which ``use_bias_correction`` multiplies by
    :math:`\sqrt{1 - \beta_2^t} / (1 - \beta_1^t)`,

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, d_{t-1} g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, d_{t-1}^2 g_t^2 \\
        s_t &= \beta_3 s_{t-1} + \tfrac{d_{t-1}}{d_0} \gamma_t\, g_t \\
        r_t &= \beta_3 r_{t-1}
            + \tfrac{d_{t-1}}{d_0} \gamma_t \langle g_t, \theta_0 - \theta_{t-1} \rangle \\
        \hat d_t &= c\, r_t / \|s_t\|_1 \\
        d_t &= \min(\max(\hat d_1, \dots, \hat d_t, d_0),\; \rho\, d_{t-1}) \\
        \theta_t &= \theta_{t-1} - \gamma_t \left(\lambda\theta_{t-1}
            + \frac{m_t}{\sqrt{v_t} + d_t \epsilon}\right)

    from :math:`m_0 = v_0 = s_0 = r_0 = 0`; the inner product and the norm are those of all
    parameters of all groups that have a gradient. While :math:`d_{t-1} = d_0`, :math:`\rho`
    multiplies :math:`\max(\hat d_t, d_0)` in its place. Where :math:`s_t = 0`, nothing changes.

    The buffers ``exp_avg``, ``exp_avg_sq``, ``s`` and ``p0`` hold :math:`m`, :math:`v`, :math:`s`
    and :math:`\theta_0`, each of the parameter's shape and dtype, but float32 for parameters in
    half precision, all but the last; the estimates ``d``, ``d_numerator`` and ``k`` in each group
    hold :math:`d`, :math:`r` and :math:`t`.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: factor of the estimated rate, :math:`\gamma \ge 0`, which schedules change (default 1).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.9, 0.999)).
        beta3: :math:`\beta_3` in [0, 1], None (default) for :math:`\sqrt{\beta_2}`.
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: :math:`\lambda \ge 0` (default 0).
        decouple: whether parameters decay as in AdamW (default True).
        use_bias_correction: whether the rate is corrected as in Adam (default False).
        safeguard_warmup: whether :math:`d_{t-1}` takes the place of :math:`\gamma_t` in
            :math:`s_t`, for schedules that begin with small rates (default False).
        d0: the first estimate, :math:`d_0 > 0`, smaller than any good one (default 1e-6).
        d_coef: factor of all estimates, :math:`c \ge 0` (default 1).
        growth_rate: by how much estimates grow in a step at most, :math:`\rho \ge 1`
            (default infinite).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``fused``, ``implementation``. ``differentiable`` and
            ``capturable`` must be False, since the host computes the estimates.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Prodigy([theta])
        >>> for _ in range(20):
        ...     theta.grad = theta.detach().sign()
        ...     optimizer.step()
        >>> round(optimizer.param_groups[0]["d"], 3)
        0.44

    Source:
        Mishchenko and Defazio, *Prodigy: An Expeditiously Adaptive Parameter-Free Learner*,
        ICML 2024, algorithm 4, https://arxiv.org/abs/2306.06101; the options, and :math:`d_t`
        beside :math:`\epsilon`, as in the authors' package prodigyopt 1.1. There all groups have
        one ``lr``, here each has its own.
    """

    paper = "Mishchenko & Defazio 2024, algorithm 4, https://arxiv.org/abs/2306.06101"

    lr: float | Tensor = hyperparameter(
        default=1.0, range=at_least(0.0), doc="factor of the estimated rate"
    )
    betas: tuple[float, float] = decay_rates(0.9, 0.999, doc="decay of the two moments")
    beta3: float | None = hyperparameter(
        default=None, range=within(0.0, 1.0, closed=True, optional=True), doc="decay of the sums"
    )
    eps: float = epsilon(1e-8)
    weight_decay: float = weight_decay_rate(low=1e-4, high=1e-1, doc="weight decay")
    decouple: bool = hyperparameter(default=True, range=boolean(), doc="decay as AdamW does")
    use_bias_correction: bool = flag("correct the rate as Adam does")
    safeguard_warmup: bool = flag("leave the rate out of the norm", is_searched=False)
    d0: float = hyperparameter(default=1e-6, range=at_least(1e-30), doc="first estimate")
    d_coef: float = hyperparameter(
        default=1.0, range=at_least(0.0), search=loguniform(0.1, 10.0), doc="factor of estimates"
    )
    growth_rate: float = hyperparameter(
        default=float("inf"),
        range=at_least(1.0, infinite=True),
        doc="largest growth of the estimate in a step",
    )

    d = estimate(start="d0", doc="distance from the start to a solution")
    rate = estimate(start="d0", doc="rate of the last step, of which `lr` takes a share")
    d_max = estimate(start="d0", doc="largest estimate, whatever growth is allowed")
    d_numerator = estimate(doc="decayed sum of the inner products")
    k = estimate(start=0, doc="number of steps")

    inner_product = Total("of gradients and the way back to the start, weighted")
    norm = Total("sum of the magnitudes of the decayed sums of gradients")

    exp_avg = Buffer(dtype=float32_or_wider, doc="mean of the gradients, weighted by estimates")
    exp_avg_sq = Buffer(dtype=float32_or_wider, doc="mean of their squares")
    s = Buffer(dtype=float32_or_wider, doc="decayed sum of the gradients")
    p0 = Buffer(init=lambda p: p, doc="the parameter before its first step")

    @staticmethod
    def measure(p: Any, g: Any, s: Any, h: Any) -> Mapping[str, Any]:
        """Return what a parameter contributes to the estimate."""
        beta1, beta2 = h.betas
        weight = h.d / h.d0 * h.lr * _rate(h)
        if h.weight_decay and not h.decouple:
            g = g.add(p, alpha=h.weight_decay)
        s.exp_avg.mul_(beta1).add_(g, alpha=h.d * (1 - beta1))
        s.exp_avg_sq.mul_(beta2).addcmul_(g, g, value=h.d * h.d * (1 - beta2))
        s.s.mul_(_beta3(h)).add_(g, alpha=h.d / h.d0 * h.d if h.safeguard_warmup else weight)
        return {"inner_product": (g * (s.p0 - p)).sum() * weight, "norm": s.s.abs().sum()}

    @staticmethod
    def conclude(totals: Any, h: Any) -> Mapping[str, Any] | None:
        """Return the new estimate, None while there has been no gradient."""
        if not totals.norm:
            return None
        numerator = _beta3(h) * h.d_numerator + totals.inner_product
        found = h.d_coef * numerator / totals.norm
        d_max = max(h.d_max, found)
        d = min(d_max, (max(h.d, found) if h.d == h.d0 else h.d) * h.growth_rate)
        return {
            "d": d,
            "rate": _rate(h),
            "d_max": d_max,
            "d_numerator": numerator,
            "k": h.k + 1,
        }

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        rate = h.lr * h.rate
        if h.weight_decay and h.decouple:
            p.add_(p, alpha=-rate * h.weight_decay)
        p.addcdiv_(s.exp_avg, s.exp_avg_sq.sqrt().add_(h.d * h.eps), value=-rate)


def _beta3(h: Any) -> Any:
    return h.betas[1] ** 0.5 if h.beta3 is None else h.beta3


def _rate(h: Any) -> Any:
    """Return the rate of the step to come, of which a group takes its own share."""
    if not h.use_bias_correction:
        return h.d
    beta1, beta2 = h.betas
    return h.d * (1 - beta2 ** (h.k + 1)) ** 0.5 / (1 - beta1 ** (h.k + 1))
