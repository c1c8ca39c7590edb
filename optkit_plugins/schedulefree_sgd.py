"""Schedule-free SGD: averaging in place of a schedule of the learning rate."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import hyperparameter, uniform, within
from optkit_plugins.declarations import learning_rate, weight_decay_rate
from optkit_plugins.schedulefree import (
    WARMUP_STEPS,
    WEIGHT_LR_POWER,
    R,
    ScheduleFree,
    averaged_step,
)


class ScheduleFreeSGD(ScheduleFree):
    r"""Schedule-free SGD: gradients at a point between the iterates and their average.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``) at :math:`y_{t-1}`, to which
    :math:`\lambda y_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        \gamma_t &= \gamma\, \min(1, t / T) \\
        w_t &= t^r \max_{i \le t} \gamma_i^p \qquad c_t = w_t \Big/ \sum_{i \le t} w_i \\
        z_t &= z_{t-1} - \gamma_t g_t \\
        x_t &= (1 - c_t)\, x_{t-1} + c_t z_t \\
        y_t &= (1 - \beta)\, z_t + \beta x_t

    from :math:`z_0 = x_0 = \theta_0`. Parameters are :math:`y` in training and, after
    ``optimizer.eval()``, :math:`x`; ``optimizer.train()`` goes back, and no step is possible
    before. The buffer ``z`` holds :math:`z`, of the parameter's shape and dtype; ``weight_sum``
    and ``lr_max`` are numbers.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1).
        momentum: :math:`\beta` in (0, 1) (default 0.9).
        weight_decay: L2 penalty :math:`\lambda \ge 0` (default 0).
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
        >>> optimizer = ScheduleFreeSGD([theta], lr=0.1)
        >>> for _ in range(2):
        ...     theta.grad = torch.tensor([4.0, -0.5])
        ...     optimizer.step()
        >>> theta.data
        tensor([ 0.3800, -1.9225])
        >>> optimizer.eval()
        >>> theta.data
        tensor([ 0.4000, -1.9250])

    Source:
        Defazio et al., *The Road Less Scheduled*, NeurIPS 2024, https://arxiv.org/abs/2405.15682,
        section 2; warmup and weights as in the authors' package schedulefree.
    """

    lr: float | Tensor = learning_rate(1.0, 1e-2, 1e1)
    momentum: float = hyperparameter(
        default=0.9,
        range=within(0.0, 1.0),
        search=uniform(0.8, 0.99),
        doc="share of the average in the point of the gradient",
    )
    weight_decay: float = weight_decay_rate()
    warmup_steps: int = WARMUP_STEPS
    r: float = R
    weight_lr_power: float = WEIGHT_LR_POWER

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        averaged_step(p, g, s, h, t, h.momentum)
