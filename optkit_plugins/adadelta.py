"""Adadelta: steps in the unit of the parameter, from means of squared steps and gradients."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise, hyperparameter, uniform, within
from optkit_plugins.declarations import epsilon, learning_rate, weight_decay_rate


class Adadelta(Elementwise):
    r"""Adadelta: gradient times the root mean square of steps over that of gradients.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        v_t &= \rho v_{t-1} + (1 - \rho)\, g_t^2 \\
        \Delta_t &= \frac{\sqrt{u_{t-1} + \epsilon}}{\sqrt{v_t + \epsilon}}\, g_t \\
        u_t &= \rho u_{t-1} + (1 - \rho)\, \Delta_t^2 \\
        \theta_t &= \theta_{t-1} - \gamma \Delta_t

    from :math:`v_0 = u_0 = 0`. The buffers ``square_avg`` and ``acc_delta`` hold :math:`v` and
    :math:`u`, each of the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: factor of the step :math:`\gamma \ge 0`, a number or a one-element tensor (default 1).
        rho: decay of both means :math:`\rho` in [0, 1] (default 0.9).
        eps: :math:`\epsilon \ge 0`, keeps the roots from zero (default 1e-6).
        weight_decay: L2 penalty :math:`\lambda \ge 0` (default 0).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Adadelta([theta], lr=100.0)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.6838, -1.6838])

    Source:
        Zeiler, *ADADELTA: An Adaptive Learning Rate Method*, 2012,
        https://arxiv.org/abs/1212.5701 (algorithm 1, whose :math:`\gamma` is 1).
    """

    paper = "Zeiler 2012, https://arxiv.org/abs/1212.5701"

    lr: float | Tensor = learning_rate(1.0, 1e-2, 10.0, doc="factor of the step")
    rho: float = hyperparameter(
        default=0.9,
        range=within(0.0, 1.0, closed=True),
        search=uniform(0.8, 0.99),
        doc="decay of both means",
    )
    eps: float = epsilon(1e-6, doc="keeps the roots from zero")
    weight_decay: float = weight_decay_rate()

    square_avg = Buffer(doc="mean of the squared gradients")
    acc_delta = Buffer(doc="mean of the squared steps")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        s.square_avg.mul_(h.rho).addcmul_(g, g, value=1 - h.rho)
        root = s.square_avg.add(h.eps).sqrt_()
        delta = s.acc_delta.add(h.eps).sqrt_().div_(root).mul_(g)
        s.acc_delta.mul_(h.rho).addcmul_(delta, delta, value=1 - h.rho)
        p.add_(delta, alpha=-h.lr)
