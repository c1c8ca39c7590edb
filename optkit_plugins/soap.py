"""SOAP: Adam in the eigenbases of Shampoo's preconditioners."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core import (
    Buffer,
    Matrixwise,
    boolean,
    hyperparameter,
    symmetric_matmul,
    whole,
    within,
)
from optkit_plugins.declarations import (
    decay_rates,
    epsilon,
    flag,
    float32_or_wider,
    learning_rate,
    weight_decay_rate,
)


def has_rows(p: Tensor, group: Mapping[str, Any]) -> bool:
    """Return whether the rows of a parameter are preconditioned."""
    dims = 1 if group["precondition_1d"] else 2
    return p.dim() >= dims and p.shape[0] <= group["max_precond_dim"]


def has_columns(p: Tensor, group: Mapping[str, Any]) -> bool:
    """Return whether its columns are; those of more than two dimensions are taken together."""
    return p.dim() >= 2 and p.shape[1:].numel() <= group["max_precond_dim"]


def for_rows(doc: str) -> Buffer:
    """Return a square buffer of as many rows as a parameter has."""
    return Buffer(
        shape=lambda p: (p.shape[0], p.shape[0]), when=has_rows, dtype=float32_or_wider, doc=doc
    )


def for_columns(doc: str) -> Buffer:
    """Return one of as many as it has columns."""
    return Buffer(
        shape=lambda p: (p.shape[1:].numel(), p.shape[1:].numel()),
        when=has_columns,
        dtype=float32_or_wider,
        doc=doc,
    )


class SOAP(Matrixwise):
    r"""SOAP: Adam in the eigenbases of Shampoo's preconditioners.

    With the gradient :math:`G_t` (:math:`-G_t` if ``maximize``) of a matrix,

    .. math::
        M_t &= \beta_1 M_{t-1} + (1 - \beta_1)\, G_t \\
        V_t &= \beta_2 V_{t-1} + (1 - \beta_2)\, (Q_L^\top G_t Q_R)^2 \\
        \Theta_t &= (1 - \gamma\lambda) \left(\Theta_{t-1} - \gamma
            \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}\, Q_L
            \frac{Q_L^\top M_t Q_R}{\sqrt{V_t} + \epsilon}\, Q_R^\top\right) \\
        L_t &= \beta L_{t-1} + (1 - \beta)\, G_t G_t^\top, \qquad
        R_t = \beta R_{t-1} + (1 - \beta)\, G_t^\top G_t

    from zero. A first gradient, before :math:`t = 1`, makes :math:`L_0` and :math:`R_0` alone, and
    :math:`Q_L` and :math:`Q_R` their eigenvectors. Every ``precondition_frequency`` steps these
    follow by one power iteration: :math:`Q_L` becomes the orthogonal factor of :math:`L_t Q_L`,
    whose columns are put in the order of their eigenvalues, as are the rows of :math:`V_t`.

    A tensor of more than two dimensions is a matrix of as many rows as its first dimension has.
    Vectors have :math:`L` alone, and that with ``precondition_1d``; where there is no matrix for a
    side, it is left as it is, and where there is none for both, this is AdamW. The buffers
    ``exp_avg`` and ``exp_avg_sq`` hold :math:`M` and :math:`V`, ``row_factor``,
    ``column_factor``, ``row_basis`` and ``column_basis`` :math:`L`, :math:`R`, :math:`Q_L` and
    :math:`Q_R`, of half-precision parameters in float32.

    Args:
        params: tensors of any shape, ``(name, tensor)`` pairs, or group dicts.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 3e-3).
        betas: :math:`(\beta_1, \beta_2)`, each in [0, 1) (default (0.95, 0.95)).
        shampoo_beta: :math:`\beta` in [0, 1); where it is negative, :math:`\beta_2` (default -1).
        eps: :math:`\epsilon \ge 0`, keeps the root from zero (default 1e-8).
        weight_decay: decoupled weight decay :math:`\lambda \ge 0` (default 0.01).
        precondition_frequency: steps from one power iteration to the next, from 1 (default 10).
        max_precond_dim: the most rows or columns that are preconditioned, from 0 (default 10000).
        precondition_1d: whether vectors are preconditioned (default False).
        correct_bias: whether the fraction of roots of :math:`1 - \beta^t` is there (default True).
        maximize: ascend instead of descend (default False).

    Raises:
        HyperparameterError: a value is out of its range.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.eye(2))
        >>> optimizer = SOAP([theta], lr=0.1, weight_decay=0.0)
        >>> for _ in range(2):  # the first gradient makes preconditioners alone
        ...     theta.grad = torch.tensor([[0.0, 4.0], [2.0, 0.0]])
        ...     optimizer.step()
        >>> theta.data
        tensor([[ 1.0000, -0.1000],
                [-0.1000,  1.0000]])

    Source:
        Vyas et al., *SOAP: Improving and Stabilizing Shampoo using Adam*, 2024, algorithm 3,
        https://arxiv.org/abs/2409.11321; names and defaults are those of the authors' code,
        https://github.com/nikhilvyas/SOAP, which leaves the choice of eigenvectors to an
        eigenvalue of zero, of which a first gradient has many, to rounding.
    """

    paper = "Vyas et al. 2024, https://arxiv.org/abs/2409.11321"
    parameter_dims = None
    tolerances: ClassVar[Mapping[torch.dtype, float]] = {torch.float32: 4e-4}

    lr: float | Tensor = learning_rate(3e-3, 1e-5, 1e-1)
    betas: tuple[float, float] = decay_rates(0.95, 0.95, doc="decay of mean and square")
    shampoo_beta: float = hyperparameter(
        default=-1.0, range=within(-1.0, 1.0), doc="decay of the factors; < 0: betas[1]"
    )
    eps: float = epsilon(1e-8)
    weight_decay: float = weight_decay_rate(0.01, low=1e-4, high=1.0, doc="decoupled decay")
    precondition_frequency: int = hyperparameter(
        default=10, range=whole(1), doc="steps between power iterations"
    )
    max_precond_dim: int = hyperparameter(
        default=10000, range=whole(0), doc="the most rows or columns that are preconditioned"
    )
    precondition_1d: bool = flag("precondition vectors")
    correct_bias: bool = hyperparameter(default=True, range=boolean(), doc="correct the bias")

    exp_avg = Buffer(doc="mean of the gradients")
    exp_avg_sq = Buffer(doc="mean of their squares, in the eigenbases")
    row_factor = for_rows("mean of the products of rows")
    column_factor = for_columns("mean of the products of columns")
    row_basis = for_rows("eigenvectors of row_factor")
    column_basis = for_columns("eigenvectors of column_factor")

    @staticmethod
    def update(p: Tensor, g: Tensor, s: Any, h: Any, t: int) -> None:
        """Update a tensor, or a batch of them, in place."""
        if not p.numel():
            return
        if t > 1:
            take_step(p, g, s, h, t - 1)
        update_bases(g, s, h, t - 1)


def take_step(p: Tensor, g: Tensor, s: Any, h: Any, t: int) -> None:
    """Take a step of AdamW in the eigenbases; see `SOAP.update` for the arguments."""
    beta1, beta2 = h.betas
    s.exp_avg.lerp_(g, 1 - beta1)
    turned = rotated(g, s, is_back=False)
    s.exp_avg_sq.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    u = rotated(s.exp_avg, s, is_back=False) / (s.exp_avg_sq.sqrt() + h.eps)
    bias = math.sqrt(1 - beta2**t) / (1 - beta1**t) if h.correct_bias else 1.0
    p.add_(rotated(u, s, is_back=True), alpha=-h.lr * bias)
    p.mul_(1 - h.lr * h.weight_decay)


def update_bases(g: Tensor, s: Any, h: Any, t: int) -> None:
    """Take a gradient into the factors, and let the eigenbases follow where it is time."""
    matrix, squares = as_matrix(g, s), as_matrix(s.exp_avg_sq, s)
    beta = h.betas[1] if h.shampoo_beta < 0 else h.shampoo_beta
    for factor, basis, is_column in sides(s):
        rows = matrix.mT if is_column else matrix
        factor.lerp_(symmetric_matmul(rows, rows.mT), 1 - beta)
        if t % h.precondition_frequency == 0:
            new, order = next_basis(factor, basis, is_first=t == 0)
            basis.copy_(new)
            order = order.unsqueeze(-2 if is_column else -1)
            squares = squares.take_along_dim(order, -1 if is_column else -2)
    s.exp_avg_sq.copy_(squares.reshape(s.exp_avg_sq.shape))


def next_basis(factor: Tensor, basis: Tensor, *, is_first: bool) -> tuple[Tensor, Tensor]:
    """Return eigenvectors in the order of their eigenvalues, and that order.

    An eigenvalue of zero has no direction but that of rounding: there the column of before is
    kept, which is the identity's where there was none.

    Args:
        factor: a symmetric matrix, or a batch of them.
        basis: its eigenvectors so far.
        is_first: whether there are none so far.
    """
    start = torch.linalg.eigh(factor).eigenvectors if is_first else basis
    product = factor @ start
    order = above_rounding((start * product).sum(-2)).argsort(descending=True, stable=True)
    product, kept = (x.take_along_dim(order.unsqueeze(-2), -1) for x in (product, start))
    if is_first:
        kept = torch.eye(factor.shape[-1]).to(factor)
    new, sizes = torch.linalg.qr(product)
    is_known = above_rounding(sizes.diagonal(dim1=-2, dim2=-1).abs()) > 0
    if not is_known.all():
        new = torch.linalg.qr(torch.where(is_known.unsqueeze(-2), product, kept)).Q
    return new, order


def above_rounding(values: Tensor) -> Tensor:
    """Return values, and zero for those that may be rounding errors of the largest one."""
    # eps times the root of the size, some tens for a thousand rows, is what products leave.
    limit = 100 * torch.finfo(values.dtype).eps
    return values.where(values > limit * values.amax(-1, keepdim=True), 0.0)


def rotated(x: Tensor, s: Any, *, is_back: bool) -> Tensor:
    """Return what has the parameter's shape in the eigenbases, or back from there."""
    y = as_matrix(x, s)
    for _, basis, is_column in sides(s):
        turn = basis if is_back else basis.mT
        y = y @ turn.mT if is_column else turn @ y
    return y.reshape(x.shape)


def as_matrix(x: Tensor, s: Any) -> Tensor:
    """Return what has the parameter's shape as a matrix, or a batch of them, if it has a side."""
    if hasattr(s, "row_basis"):
        return x.reshape(*s.row_basis.shape[:-1], -1)
    if hasattr(s, "column_basis"):
        *batch, columns = s.column_basis.shape[:-1]
        return x.reshape(*batch, -1, columns)
    return x


def sides(s: Any) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Yield the factor and the basis of rows and of columns, where they have one, and which."""
    if hasattr(s, "row_factor"):
        yield s.row_factor, s.row_basis, False
    if hasattr(s, "column_factor"):
        yield s.column_factor, s.column_basis, True
