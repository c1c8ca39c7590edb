"""Schedule-free AdamW: averaging in place of a schedule and of the mean gradient."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import Buffer, choice, each, hyperparameter, uniform, within
from optkit_plugins.declarations import epsilon, learning_rate, weight_decay_rate
from optkit_plugins.schedulefree import (
    WARMUP_STEPS,
    WEIGHT_LR_POWER,
    R,
    ScheduleFree,
    averaged_step,
)


class ScheduleFreeAdamW(ScheduleFree):
    r"""Schedule-free AdamW: scaled gradients at a point between the iterates and their average.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``) at :math:`y_{t-1}`,

    .. math::
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        d_t &= \frac{g_t}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon} + \lambda y_{t-1} \\
        \gamma_t &= \gamma\, \min(1, t / T) \\
        w_t &= t^r \max_{i \le t} \gamma_i^p \qquad c_t = w_t \Big/ \sum_{i \le t} w_i \\
        z_t &= z_{t-1} - \gamma_t d_t \\
        x_t &= (1 - c_t)\, x_{t-1} + c_t z_t \\
        y_t &= (1 - \beta_1)\, z_t + \beta_1 x_t

    from :math:`z_0 = x_0 = \theta_0` and :math:`v_0 = 0`. Parameters are :math:`y` in training
    and, after ``optimizer.eval()``, :math:`x`; ``optimizer.train()`` goes back, and no step is
    possible before. The buffers ``z`` and ``exp_avg_sq`` hold :math:`z` and :math:`v`, of the
    parameter's shape and dtype; ``weight_sum`` and ``lr_max`` are numbers.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 2.5e-3).
        betas: :math:`\beta_1` in (0, 1) and :math:`\beta_2` in [0, 1) (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: decay :math:`\lambda \ge 0` at :math:`y` (default 0).
        warmup_steps: :math:`T \ge 0`, steps in which the learning rate rises (default 0: none).
        r: power :math:`r \ge 0` of the step in the weights (default 0).
        weight_lr_power: power :math:`p \ge 0` of the learning rate in them (default 2).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.
        train_mode: whether it starts in train mode (default True; the authors' package: False).

    Raises:
        HyperparameterError: a value is out of its range.
        ModeError: a step in eval mode.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = ScheduleFreeAdamW([theta], lr=0.1)
        >>> for _ in range(2):
        ...     theta.grad = torch.tensor([4.0, -0.5])
        ...     optimizer.step()
        >>> theta.data
        tensor([ 0.8450, -1.8450])
        >>> optimizer.eval()
        >>> theta.data
        tensor([ 0.8500, -1.8500])

    Source:
        Defazio et al., *The Road Less Scheduled*, NeurIPS 2024, https://arxiv.org/abs/2405.15682,
        algorithm 1; weights as in the authors' package schedulefree, which takes the bias
        correction from :math:`\gamma_t` to :math:`v_t`.
    """

    lr: float | Tensor = learning_rate(2.5e-3, 1e-4, 1e-1)
    betas: tuple[float, float] = hyperparameter(
        default=(0.9, 0.999),
        range=each(within(0.0, 1.0)),
        search=(uniform(0.8, 0.99), choice([0.95, 0.99, 0.999])),
        doc="share of the average in the point of the gradient, and decay of the mean square",
    )
    eps: float = epsilon(1e-8)
    weight_decay: float = weight_decay_rate(low=1e-4, high=1.0, doc="decay")
    warmup_steps: int = WARMUP_STEPS
    r: float = R
    weight_lr_power: float = WEIGHT_LR_POWER

    exp_avg_sq = Buffer(doc="mean of the squared gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        beta1, beta2 = h.betas
        s.exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        direction = g.div(s.exp_avg_sq.div(1 - beta2**t).sqrt_().add_(h.eps))
        if h.weight_decay:
            direction = direction.add_(p, alpha=h.weight_decay)
        averaged_step(p, direction, s, h, t, beta1)
