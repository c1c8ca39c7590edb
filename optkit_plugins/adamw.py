"""AdamW: Adam whose weight decay is decoupled from the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from optkit_core import hyperparameter, one_of
from optkit_plugins.adam import Adam
from optkit_plugins.declarations import weight_decay_rate


class AdamW(Adam):
    r"""AdamW: Adam whose weight decay is decoupled from the gradient.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \\
        \theta_t &= (1 - \gamma\lambda)\, \theta_{t-1} - \frac{\gamma}{1 - \beta_1^t}\,
            \frac{m_t}{\sqrt{v_t} / \sqrt{1 - \beta_2^t} + \epsilon}

    from :math:`m_0 = v_0 = 0`, with the gradient :math:`g_t` (:math:`-g_t` if ``maximize``).
    With ``amsgrad``, :math:`\max_{i \le t} v_i` takes the place of :math:`v_t` in the last line.
    The buffers are those of `Adam`.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1), two numbers or two one-element tensors
            (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: :math:`\lambda \ge 0` (default 1e-2).
        amsgrad: whether to divide by the largest mean so far (default False).
        foreach: torch's flag (default None); see `optkit_core.Elementwise` for this and the
            options ``maximize``, ``differentiable``, ``capturable``, ``fused``, ``implementation``.
        decoupled_weight_decay: True; a key of torch's groups, which tells them from Adam's.

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = AdamW([theta], lr=0.1, weight_decay=0.5)
        >>> theta.grad = torch.tensor([4.0, -0.5])
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.8500, -1.8000])

    Source:
        Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019,
        https://arxiv.org/abs/1711.05101 (algorithm 2, whose :math:`\lambda` isn't multiplied by
        :math:`\gamma`; here as in torch.optim it is).
    """

    paper = "Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101"
    later_in_torch: ClassVar[Mapping[str, Any]] = {"decoupled_weight_decay": True}

    weight_decay: float = weight_decay_rate(1e-2, 1e-4, 1e-1, doc="decoupled weight decay")
    decoupled_weight_decay: bool = hyperparameter(
        default=True, range=one_of(True), doc="what tells AdamW from Adam", kw_only=True
    )
