"""Rprop: each element has a step of its own, longer while its gradient keeps its sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optkit_core import Buffer, Elementwise, at_least, each, hyperparameter, uniform
from optkit_plugins.declarations import learning_rate


class Rprop(Elementwise):
    r"""Rprop: steps by the sign of the gradient, whose length adapts to changes of the sign.

    With the gradient :math:`g_t` (:math:`-g_t` if ``maximize``),

    .. math::
        \eta_t &= \begin{cases} \eta_+ & g_t g_{t-1} > 0 \\ \eta_- & g_t g_{t-1} < 0 \\
            1 & \text{else} \end{cases} \\
        \Delta_t &= \min(\max(\eta_t \Delta_{t-1},\, \Gamma_{\min}),\, \Gamma_{\max}) \\
        g_t &\leftarrow 0 \quad \text{where } g_t g_{t-1} < 0 \\
        \theta_t &= \theta_{t-1} - \operatorname{sign}(g_t)\, \Delta_t

    from :math:`g_0 = 0` and :math:`\Delta_0 = \gamma`. The buffers ``prev`` and ``step_size``
    hold :math:`g` and :math:`\Delta`, each of the parameter's shape and dtype.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: first step :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-2).
        etas: :math:`(\eta_-, \eta_+)` with :math:`0 < \eta_- < 1 < \eta_+` (default (0.5, 1.2)).
        step_sizes: :math:`(\Gamma_{\min}, \Gamma_{\max})`, each at least 0 (default (1e-6, 50)).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = Rprop([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -1.9000])

    Source:
        Riedmiller and Braun, *A Direct Adaptive Method for Faster Backpropagation Learning: The
        RPROP Algorithm*, 1993, https://doi.org/10.1109/ICNN.1993.298623. As in torch.optim no
        step is taken back where the sign changes (Rprop⁻ of Igel and Hüsken, 2000, with the
        gradient forgotten).
    """

    paper = "Riedmiller & Braun 1993, https://doi.org/10.1109/ICNN.1993.298623"

    options_by_position = ()

    lr: float | Tensor = learning_rate(1e-2, 1e-5, 1e-1, doc="first step")
    etas: tuple[float, float] = hyperparameter(
        default=(0.5, 1.2),
        range=each(at_least(0.0)),
        search=(uniform(0.3, 0.9), uniform(1.05, 1.5)),
        doc="factors that shorten and lengthen a step",
    )
    step_sizes: tuple[float, float] = hyperparameter(
        default=(1e-6, 50.0), range=each(at_least(0.0)), doc="shortest and longest step"
    )

    prev = Buffer(doc="last gradient")
    step_size = Buffer(init="lr", doc="length of the step")

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        (shorter, longer), (least, most) = h.etas, h.step_sizes
        agreement = g.mul(s.prev).sign_()
        opposed = agreement < 0
        factor = agreement.masked_fill(agreement > 0, longer).masked_fill_(opposed, shorter)
        s.step_size.mul_(factor.masked_fill_(agreement == 0, 1.0)).clamp_(least, most)
        s.prev.copy_(g.masked_fill(opposed, 0.0))
        p.addcmul_(s.prev.sign(), s.step_size, value=-1)

    @classmethod
    def values_complaint(cls, values: Mapping[str, Any]) -> str:
        """Return why the factors can't be meant: one shortens a step, the other lengthens it."""
        shorter, longer = values["etas"]
        if 0 < shorter < 1 < longer:
            return ""
        return (
            f"etas must be a factor below 1 and one above, got {(shorter, longer)}. "
            f"[Invalid eta values: {shorter}, {longer}]"
        )
