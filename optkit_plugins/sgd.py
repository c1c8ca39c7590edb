"""SGD: stochastic gradient descent, with momentum if asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise, at_least, hyperparameter
from optkit_plugins.declarations import flag, learning_rate, momentum_rate, weight_decay_rate


class SGD(Elementwise):
    r"""SGD: steps against the gradient, or against a sum of decaying gradients.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        b_1 &= g_1, \quad b_t = \mu b_{t-1} + (1 - \tau)\, g_t \\
        \theta_t &= \theta_{t-1} - \gamma \cdot
            \begin{cases} g_t & \mu = 0 \\ g_t + \mu b_t & \text{with nesterov} \\
            b_t & \text{else} \end{cases}

    The buffer ``momentum_buffer`` holds :math:`b`, of the parameter's shape and dtype; without
    ``momentum`` there is no state. Sparse gradients (``sparse_coo``) change only the elements
    that they name; with momentum or weight decay they are taken as dense ones.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        momentum: :math:`\mu \ge 0` (default 0).
        dampening: :math:`\tau` (default 0), any number.
        weight_decay: L2 penalty :math:`\lambda \ge 0`, a number or a one-element tensor
            (default 0).
        nesterov: whether to step against the gradient that follows the momentum (default
            False); needs a momentum and no dampening.
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range, or nesterov without a momentum.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = SGD([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.6000, -1.9500])

    Source:
        Robbins and Monro, *A Stochastic Approximation Method*, 1951,
        https://doi.org/10.1214/aoms/1177729586; momentum in the form of Sutskever et al., *On the
        Importance of Initialization and Momentum in Deep Learning*, ICML 2013,
        https://proceedings.mlr.press/v28/sutskever13.html. As in torch.optim the learning rate
        isn't part of the momentum.
    """

    paper = "Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html"
    counts_steps = False
    options_by_position = ()

    lr: float | Tensor = learning_rate(1e-3, 1e-4, 1.0)
    momentum: float = momentum_rate()
    dampening: float = hyperparameter(
        default=0.0, range=at_least(float("-inf")), doc="share of a gradient that is left out"
    )
    weight_decay: float | Tensor = weight_decay_rate()
    nesterov: bool = flag("Nesterov's momentum", is_searched=False)

    momentum_buffer = Buffer(init=None, when="momentum", doc="sum of decaying gradients")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        if h.weight_decay:
            g = g.add(p, alpha=h.weight_decay)
        if h.momentum:
            if s.is_new:
                s.momentum_buffer.copy_(g)
            else:
                s.momentum_buffer.mul_(h.momentum).add_(g, alpha=1 - h.dampening)
            g = g.add(s.momentum_buffer, alpha=h.momentum) if h.nesterov else s.momentum_buffer
        p.add_(g, alpha=-h.lr)

    @staticmethod
    def update_sparse(p: Tensor, g: Tensor, s: Any, h: Any, t: Any) -> None:
        """Update the elements of one parameter that a sparse gradient names."""
        SGD.update(p, g.to_dense() if h.momentum or h.weight_decay else g, s, h, t)

    @classmethod
    def values_complaint(cls, values: Mapping[str, Any]) -> str:
        """Return why values don't go together: Nesterov's momentum is one of a certain kind."""
        if values["nesterov"] and (not values["momentum"] or values["dampening"]):
            return (
                "nesterov=True needs a momentum and no dampening, got "
                f"momentum={values['momentum']!r}, dampening={values['dampening']!r}. "
                "[Nesterov momentum requires a momentum and zero dampening]"
            )
        return ""
