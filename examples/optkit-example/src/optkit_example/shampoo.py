"""Shampoo: gradients of matrices, preconditioned from both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core import Buffer, Matrixwise, at_least, hyperparameter, loguniform
from optkit_example.novograd import float32_or_wider


class Shampoo(Matrixwise):
    r"""Shampoo: gradients of matrices, preconditioned by sums of their products from both sides.

    With the gradient :math:`G_t` of a matrix,

    .. math::
        L_t &= L_{t-1} + G_t G_t^\top, \qquad R_t = R_{t-1} + G_t^\top G_t \\
        \Theta_t &= \Theta_{t-1} -
            \gamma\, (L_t + \epsilon I)^{-1/4}\, G_t\, (R_t + \epsilon I)^{-1/4}

    from :math:`L_0 = R_0 = 0`.

    Args:
        params: matrices, ``(name, matrix)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0` (default 0.1).
        eps: :math:`\epsilon`, from 1e-10, keeps the roots from zero (default 1e-4).

    Source:
        Gupta, Koren and Singer, *Shampoo: Preconditioned Stochastic Tensor Optimization*, 2018,
        algorithm 1, https://arxiv.org/abs/1802.09568.
    """

    paper = "Gupta, Koren & Singer 2018, https://arxiv.org/abs/1802.09568"
    counts_steps = False
    tolerances: ClassVar[Mapping[torch.dtype, float]] = {torch.float32: 1e-3}

    lr: float | Tensor = hyperparameter(
        default=0.1, range=at_least(0.0), search=loguniform(1e-3, 1.0), doc="learning rate"
    )
    eps: float = hyperparameter(
        default=1e-4, range=at_least(1e-10), doc="keeps the roots from zero"
    )

    row_sum = Buffer(
        shape=lambda p: (p.shape[0], p.shape[0]),
        dtype=float32_or_wider,
        doc="sum of the products of rows",
    )
    column_sum = Buffer(
        shape=lambda p: (p.shape[1], p.shape[1]),
        dtype=float32_or_wider,
        doc="sum of the products of columns",
    )

    @staticmethod
    def update(p: Tensor, g: Tensor, s: Any, h: Any, t: None) -> None:
        """Update a matrix, or each of a batch of them, in place."""
        wide = g.to(s.row_sum.dtype)
        s.row_sum.add_(wide @ wide.mT)
        s.column_sum.add_(wide.mT @ wide)
        left, right = (inverse_fourth_root(x, h.eps) for x in (s.row_sum, s.column_sum))
        p.add_((left @ wide @ right).to(p.dtype), alpha=-h.lr)


def inverse_fourth_root(x: Tensor, eps: float) -> Tensor:
    r"""Return :math:`(X + \epsilon I)^{-1/4}` of a symmetric matrix, or of each of a batch.

    Args:
        x: without negative eigenvalues but those of rounding.
        eps: what is added to each eigenvalue.
    """
    # LAPACK refuses what isn't finite; the gradient itself carries it on into the parameter.
    values, vectors = torch.linalg.eigh(x.where(x.isfinite(), 0.0))
    powers = (values.clamp_min(0.0) + eps) ** -0.25
    root: Tensor = vectors * powers.unsqueeze(-2) @ vectors.mT
    return root
