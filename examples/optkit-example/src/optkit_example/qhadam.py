"""QHAdam: Adam whose numerator and denominator also see the gradient of now."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import (
    Buffer,
    Elementwise,
    at_least,
    each,
    hyperparameter,
    loguniform,
    uniform,
    within,
)


class QHAdam(Elementwise):
    r"""QHAdam: mean gradient over root mean square, each mixed with the gradient of now.

    With the gradient :math:`g_t`, and :math:`\hat m_t` and :math:`\hat v_t` as in Adam,

    .. math::
        \theta_t = \theta_{t-1} - \gamma\, \frac{(1 - \nu_1)\, g_t + \nu_1 \hat m_t}
            {\sqrt{(1 - \nu_2)\, g_t^2 + \nu_2 \hat v_t} + \epsilon}

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0` (default 1e-3).
        betas: decay of the mean and of the mean square, each in [0, 1) (default (0.995, 0.999)).
        nus: :math:`(\nu_1, \nu_2)`, each in [0, 1] (default (0.7, 1.0)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).

    Source:
        Ma and Yarats, *Quasi-hyperbolic Momentum and Adam for Deep Learning*, 2019, section 4,
        https://arxiv.org/abs/1810.06801.
    """

    paper = "Ma & Yarats 2019, https://arxiv.org/abs/1810.06801"

    lr: float | Tensor = hyperparameter(
        default=1e-3, range=at_least(0.0), search=loguniform(1e-4, 1e-1), doc="learning rate"
    )
    betas: tuple[float, float] = hyperparameter(
        default=(0.995, 0.999), range=each(within(0.0, 1.0)), doc="decay of mean and square"
    )
    nus: tuple[float, float] = hyperparameter(
        default=(0.7, 1.0),
        range=each(within(0.0, 1.0, closed=True)),
        search=(uniform(0.5, 1.0), None),
        doc="weight of mean and square against the gradient of now",
    )
    eps: float = hyperparameter(default=1e-8, range=at_least(0.0), doc="keeps the root from zero")

    exp_avg = Buffer(doc="mean of the gradients")
    exp_avg_sq = Buffer(doc="mean of their squares")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        (beta1, beta2), (nu1, nu2) = h.betas, h.nus
        s.exp_avg.lerp_(g, 1 - beta1)
        s.exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        mean = (s.exp_avg * (nu1 / (1 - beta1**t))).add_(g, alpha=1 - nu1)
        square = (s.exp_avg_sq * (nu2 / (1 - beta2**t))).addcmul_(g, g, value=1 - nu2)
        p.addcdiv_(mean, square.sqrt_().add_(h.eps), value=-h.lr)
