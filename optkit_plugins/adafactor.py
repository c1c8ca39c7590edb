"""Adafactor: adaptive rates from row and column means of the squared gradients."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from optkit_core import (
    BucketKey,
    Buffer,
    Layerwise,
    at_least,
    hyperparameter,
    scalar_math,
    tuple_of,
    uniform,
    within,
)
from optkit_plugins.declarations import learning_rate, weight_decay_rate


class Adafactor(Layerwise):
    r"""Adafactor: second moments of matrices are kept as a row and a column.

    With the gradient :math:`G_t` (:math:`-G_t` if ``maximize``), for each matrix of :math:`n`
    rows and :math:`m` columns, and with :math:`\mathrm{RMS}` the root of the mean square,

    .. math::
        \rho_t &= \min(\gamma,\; 1 / \sqrt{t}), \qquad
            \alpha_t = \max(\epsilon_2,\; \mathrm{RMS}(\Theta_{t-1}))\, \rho_t, \qquad
            \beta_t = 1 - t^{\tau} \\
        R_t &= \beta_t R_{t-1} + (1 - \beta_t)\, G_t^2\, 1_m / m, \qquad
            C_t = \beta_t C_{t-1} + (1 - \beta_t)\, 1_n^\top G_t^2 / n \\
        V_t &= \frac{R_t C_t}{\max(1_n^\top R_t / n,\; \epsilon_1)}, \qquad
            U_t = \frac{G_t}{\sqrt{\max(V_t,\; \epsilon_1^2)}} \\
        \Theta_t &= (1 - \gamma\lambda)\, \Theta_{t-1}
            - \frac{\alpha_t}{\max(1,\; \mathrm{RMS}(U_t) / d)}\, U_t

    from :math:`R_0 = C_0 = 0`. A tensor of more than two dims is a batch of matrices, with the
    root mean squares of the whole tensor; one of fewer has
    :math:`V_t = \beta_t V_{t-1} + (1 - \beta_t)\, G_t^2` from :math:`V_0 = 0`. The buffers
    ``row_var`` and ``col_var``, or ``variance``, hold :math:`R` and :math:`C`, or :math:`V`.

    Args:
        params: real tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: :math:`\gamma \ge 0`, the largest relative step and the rate of decay, a number or a
            one-element tensor (default 1e-2).
        beta2_decay: exponent :math:`\tau \le 0` (default -0.8).
        eps: :math:`(\epsilon_1, \epsilon_2)`, each at least 0; None as the first (default) is the
            smallest number that changes 1 in the parameter's dtype; the second is 1e-3.
        d: :math:`d \ge 1`, clips steps (default 1).
        weight_decay: decoupled weight decay :math:`\lambda \ge 0` (default 0).
        foreach: torch's flag (default None); see `optkit_core.Layerwise` for this and the
            options ``maximize``, ``differentiable``, ``fused``, ``implementation``.

    Raises:
        HyperparameterError: a value is out of its range.
        GradientError: parameters are complex, gradients sparse, or ``capturable=True``.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([[1.0, -2.0], [0.0, 1.0]]))
        >>> optimizer = Adafactor([theta], lr=0.1)
        >>> theta.grad = torch.tensor([[4.0, -0.5], [2.0, 0.25]])
        >>> optimizer.step()
        >>> theta.data
        tensor([[ 0.8775, -1.8775],
                [-0.1225,  0.8775]])

    Source:
        Shazeer and Stern, *Adafactor: Adaptive Learning Rates with Sublinear Memory Cost*, 2018,
        algorithm 5, https://arxiv.org/abs/1804.04235. As in torch.optim, :math:`\gamma` takes the
        place of the paper's 0.01, means that of its sums, and :math:`\epsilon_1` bounds the
        denominators.
    """

    paper = "Shazeer & Stern 2018, https://arxiv.org/abs/1804.04235"

    lr: float | Tensor = learning_rate(1e-2, 1e-4, 1e-1, doc="largest relative step")
    beta2_decay: float = hyperparameter(
        default=-0.8,
        range=within(-math.inf, 0.0, closed=True, torch_words="beta2_decay should be <= 0"),
        search=uniform(-1.0, -0.5),
        doc="exponent of the second moment's decay",
    )
    eps: tuple[float | None, float] = hyperparameter(
        default=(None, 1e-3),
        range=tuple_of(
            at_least(0.0, optional=True, torch_words="epsilon1 should be >= 0"),
            at_least(0.0, torch_words="epsilon2 should be >= 0"),
        ),
        doc="bounds of the denominators, and of the parameter's root mean square",
    )
    d: float = hyperparameter(
        default=1.0,
        range=at_least(1.0, torch_words="Clipping threshold d should be >= 1"),
        doc="clips the steps",
    )
    weight_decay: float = weight_decay_rate(doc="decoupled weight decay")

    row_var = Buffer(
        when=lambda p, group: p.dim() > 1,
        shape=lambda p: (*p.shape[:-1], 1),
        doc="mean of the squared gradients in each row",
    )
    col_var = Buffer(
        when=lambda p, group: p.dim() > 1,
        shape=lambda p: (*p.shape[:-2], 1, p.shape[-1]),
        doc="mean of the squared gradients in each column",
    )
    variance = Buffer(
        when=lambda p, group: p.dim() <= 1, doc="mean of the squared gradients of a vector"
    )

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""
        eps1 = torch.finfo(p.dtype).eps if h.eps[0] is None else h.eps[0]
        rho, decay = scalar_math.minimum(h.lr, 1 / t**0.5), t**h.beta2_decay
        size = p.numel() ** 0.5
        alpha = (p.norm().double() / size).clamp_min(h.eps[1]) * rho
        if h.weight_decay:
            p.mul_(1 - h.lr * h.weight_decay)
        if hasattr(s, "row_var"):
            for mean, dim in ((s.row_var, -1), (s.col_var, -2)):
                norm = g.norm(dim=dim, keepdim=True)
                mean.lerp_(norm.square().div_(g.size(dim)), decay)
            square = s.row_var * s.col_var
            square.div_(s.row_var.mean(dim=-2, keepdim=True).clamp(min=eps1))
        else:
            square = s.variance.lerp_(g * g, decay).clone()
        u = square.clamp_(min=eps1 * eps1).rsqrt_().mul_(g)
        clip = (u.norm().double() / (size * h.d)).clamp_min(1.0)
        p.add_(u, alpha=-alpha / clip)

    @classmethod
    def unsupported_reason(cls, key: BucketKey, h: SimpleNamespace) -> str | None:
        """Return why gradients can't be used, as torch.optim has it, None where they can."""
        what = {
            "complex parameters": key.dtype.is_complex,
            "sparse gradients": key.layout != torch.strided,
            "capturable steps": key.capturable,
        }
        return next(
            (f"Adafactor does not support {x}." for x, found in what.items() if found), None
        )
