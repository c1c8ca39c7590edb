"""RMSprop: gradients divided by the root of their mean square."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise, at_least, choice, hyperparameter
from optkit_plugins.declarations import (
    epsilon,
    flag,
    learning_rate,
    momentum_rate,
    weight_decay_rate,
)


class RMSprop(Elementwise):
    r"""RMSprop: gradient divided by the root of the mean squared gradient.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        v_t &= \alpha v_{t-1} + (1 - \alpha)\, g_t^2 \\
        u_t &= g_t \,/\, (\sqrt{v_t} + \epsilon) \\
        b_t &= \mu b_{t-1} + u_t \\
        \theta_t &= \theta_{t-1} - \gamma b_t

    from :math:`v_0 = b_0 = 0`. With ``centered``, :math:`v_t - a_t^2` takes the place of
    :math:`v_t` in the second line, where :math:`a_t = \alpha a_{t-1} + (1 - \alpha)\, g_t`. The
    buffers ``square_avg``, with ``momentum`` ``momentum_buffer`` and with ``centered``
    ``grad_avg`` hold :math:`v`, :math:`b` and :math:`a`, each of the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-2).
        alpha: decay of the mean square :math:`\alpha \ge 0` (default 0.99).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: L2 penalty :math:`\lambda \ge 0` (default 0).
        momentum: :math:`\mu \ge 0` (default 0).
        centered: whether to divide by an estimate of the standard deviation (default False).
        capturable: torch's option (default False); see `optkit_core.Elementwise` for this and
            for ``foreach``, ``maximize``, ``differentiable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = RMSprop([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.0000, -1.0000])

    Source:
        Tieleman and Hinton, *Lecture 6.5: RMSprop*, Neural Networks for Machine Learning, 2012,
        https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; ``centered``:
        Graves, *Generating Sequences With Recurrent Neural Networks*, 2013, section 4.1,
        https://arxiv.org/abs/1308.0850.
    """

    paper = (
        "Tieleman & Hinton 2012, "
        "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf"
    )

    options_by_position = ("capturable", "foreach", "maximize", "differentiable")

    lr: float | Tensor = learning_rate(1e-2, 1e-5, 1e-1)
    alpha: float = hyperparameter(
        default=0.99,
        range=at_least(0.0),
        search=choice([0.9, 0.99, 0.999]),
        doc="decay of the mean square",
    )
    eps: float = epsilon(1e-8)
    weight_decay: float = weight_decay_rate()
    momentum: float = momentum_rate()
    centered: bool = flag("divide by the standard deviation")

    square_avg = Buffer(doc="mean of the squared gradients")
    momentum_buffer = Buffer(when="momentum", doc="sum of decaying steps")
    grad_avg = Buffer(when="centered", doc="mean of the gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        s.square_avg.mul_(h.alpha).addcmul_(g, g, value=1 - h.alpha)
        square = s.square_avg
        if h.centered:
            s.grad_avg.lerp_(g, 1 - h.alpha)
            square = square.addcmul(s.grad_avg, s.grad_avg, value=-1)
        root = square.sqrt().add_(h.eps)
        if h.momentum:
            s.momentum_buffer.mul_(h.momentum).addcdiv_(g, root)
            p.add_(s.momentum_buffer, alpha=-h.lr)
        else:
            p.addcdiv_(g, root, value=-h.lr)
