"""Adam: the mean gradient divided by the root of the mean squared gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from optkit_core import Buffer, Elementwise
from optkit_plugins.declarations import flag, weight_decay_rate
from optkit_plugins.moments import Moments, decayed, update_moments


class Adam(Moments, Elementwise):
    r"""Adam: mean gradient divided by the root of the mean squared gradient.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``), to which
    :math:`\lambda\theta_{t-1}` is added if ``weight_decay`` isn't zero,

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        \theta_t &= \theta_{t-1} - \frac{\gamma}{1 - \beta_1^t}\,
            \frac{m_t}{\sqrt{v_t} / \sqrt{1 - \beta_2^t} + \epsilon}

    from :math:`m_0 = v_0 = 0`. With ``amsgrad``, :math:`\max_{i \le t} v_i` takes the place of
    :math:`v_t` in the last line. With ``decoupled_weight_decay``, :math:`\theta_{t-1}` is first
    multiplied by :math:`1 - \gamma\lambda`, and nothing is added to the gradient. The buffers
    ``exp_avg`` and ``exp_avg_sq`` hold :math:`m` and :math:`v`, and with ``amsgrad``
    ``max_exp_avg_sq`` the maximum, each of the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1), two numbers or two one-element tensors
            (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: :math:`\lambda \ge 0` (default 0).
        amsgrad: whether to divide by the largest mean so far (default False).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.
        decoupled_weight_decay: whether the parameter decays itself, as in AdamW, not by its
            gradient (default False).

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Adam([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -1.9000])

    Source:
        Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015, algorithm 1,
        https://arxiv.org/abs/1412.6980; ``amsgrad``: Reddi, Kale and Kumar, *On the Convergence
        of Adam and Beyond*, 2018, https://openreview.net/forum?id=ryQu7f-RZ.
    """

    paper = "Kingma & Ba 2015, https://arxiv.org/abs/1412.6980"
    later_in_torch: ClassVar[Mapping[str, Any]] = {"decoupled_weight_decay": False}

    weight_decay: float = weight_decay_rate(doc="weight decay")
    amsgrad: bool = flag("divide by the largest mean so far")
    decoupled_weight_decay: bool = flag("decay the parameter, not by its gradient", kw_only=True)

    max_exp_avg_sq = Buffer(when="amsgrad", doc="largest mean of the squared gradients so far")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        (beta1, beta2), g = h.betas, decayed(p, g, h)
        update_moments(g, s, h)
        square = s.max_exp_avg_sq.clamp_min_(s.exp_avg_sq) if h.amsgrad else s.exp_avg_sq
        root = square.sqrt().div_((1 - beta2**t) ** 0.5).add_(h.eps)
        p.addcdiv_(s.exp_avg, root, value=-h.lr / (1 - beta1**t))

    @classmethod
    def values_complaint(cls, values: Mapping[str, Any]) -> str:
        """Return why values don't go together, as torch.optim has it."""
        beta1, beta2 = values["betas"]
        if isinstance(beta1, Tensor) != isinstance(beta2, Tensor):
            return f"betas must be either both floats or both Tensors, got {(beta1, beta2)}."
        if values["foreach"] and not values["capturable"]:
            for name, value in (("lr", values["lr"]), ("betas[0]", beta1)):
                if isinstance(value, Tensor):
                    return (
                        f"{name} as a Tensor is not supported for capturable=False and "
                        "foreach=True; leave foreach out, or say implementation='foreach'."
                    )
        return ""
