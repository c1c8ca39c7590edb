"""SparseAdam: Adam for sparse gradients, which changes only the elements that they name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core import Elementwise
from optkit_plugins import sparse_values
from optkit_plugins.moments import Moments


class SparseAdam(Moments, Elementwise):
    r"""SparseAdam: Adam on the elements that a sparse gradient names.

    For each element that the gradient :math:`g_t` (:math:`-g_t` if ``maximize``) names,

    .. math::
        m_t &= m_{t-1} + (1 - \beta_1)\, (g_t - m_{t-1}) \\
        v_t &= v_{t-1} + (1 - \beta_2)\, (g_t^2 - v_{t-1}) \\
        \theta_t &= \theta_{t-1} - \frac{\gamma\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}\,
            \frac{m_t}{\sqrt{v_t} + \epsilon}

    from :math:`m_0 = v_0 = 0`, where :math:`t` counts the parameter's steps, not the element's;
    all other elements and their moments stay as they are. The buffers ``exp_avg`` and
    ``exp_avg_sq`` hold :math:`m` and :math:`v`, each dense, of the parameter's shape and dtype.

    Args:
        params: dense real tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.9, 0.999)).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        maximize: whether to ascend (default False).

    Raises:
        HyperparameterError: a value is out of its range.
        GroupError: a parameter is sparse or complex.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        >>> optimizer = SparseAdam([theta], lr=0.1)
        >>> theta.grad = torch.tensor([4.0, 0.0]).to_sparse()
        >>> optimizer.step()
        >>> theta.data
        tensor([ 0.9000, -2.0000])

    Source:
        Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015, algorithm 1,
        https://arxiv.org/abs/1412.6980, lazily as in torch.optim; eps is added as in its section 2.
    """

    paper = "Kingma & Ba 2015, https://arxiv.org/abs/1412.6980"

    options_by_position = ("maximize",)
    schema_name = "sparseadam"

    @staticmethod
    def update_sparse(p: Tensor, g: Tensor, s: Any, h: Any, t: float) -> None:
        """Update the elements of one parameter that a sparse gradient names."""
        beta1, beta2 = h.betas
        g = g.coalesce()  # the square of a sum isn't the sum of the squares
        mean = _moved(s.exp_avg, g, g.values(), 1 - beta1)
        square = _moved(s.exp_avg_sq, g, g.values().square(), 1 - beta2)
        rate = h.lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        p.add_(sparse_values.like(g, mean.div_(square.sqrt_().add_(h.eps)).mul_(-rate)))

    @classmethod
    def parameter_complaint(cls, p: Tensor) -> str:
        """Return why a parameter can't be optimized: it is sparse itself, or complex."""
        if p.layout != torch.strided:
            return "is sparse. [SparseAdam requires dense parameter tensors]"
        if p.is_complex():
            return "is complex. [SparseAdam does not support complex parameters]"
        return super().parameter_complaint(p)


def _moved(buffer: Tensor, g: Tensor, towards: Tensor, weight: float) -> Tensor:
    """Move the elements of a buffer that a gradient names towards values; return them."""
    old = buffer.sparse_mask(g).values()
    change = towards.sub(old).mul_(weight)
    buffer.add_(sparse_values.like(g, change))
    return change.add_(old)
