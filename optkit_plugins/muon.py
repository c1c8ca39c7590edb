"""Muon: momentum whose singular values are all made about one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from optkit_core import (
    Buffer,
    Matrixwise,
    addmm,
    at_least,
    boolean,
    each,
    hyperparameter,
    one_of,
    symmetric_matmul,
    uniform,
    whole,
)
from optkit_plugins.declarations import epsilon, learning_rate, weight_decay_rate


class Muon(Matrixwise):
    r"""Muon: mean gradient, orthogonalized by a Newton-Schulz iteration.

    With the gradient :math:`G_t` (:math:`-G_t` if ``maximize``) of a matrix of :math:`m` rows and
    :math:`n` columns,

    .. math::
        B_t &= \mu B_{t-1} + (1 - \mu)\, G_t \\
        U_t &= \mu B_t + (1 - \mu)\, G_t \text{ if nesterov, otherwise } B_t \\
        \Theta_t &= (1 - \gamma\lambda)\, \Theta_{t-1} - \gamma\, \alpha_{mn}\, \mathrm{NS}(U_t)

    from :math:`B_0 = 0`. :math:`\mathrm{NS}(U)` begins with :math:`X_0 = U / \max(\|U\|_F,
    \epsilon)`, takes :math:`k` steps :math:`X \leftarrow aX + (bA + cA^2)X` with :math:`A =
    XX^\top`, and returns about :math:`PQ^\top` of the singular value decomposition
    :math:`U = P\Sigma Q^\top`. It computes in bfloat16. The factor :math:`\alpha_{mn}` is
    :math:`\sqrt{\max(1, m/n)}`, or :math:`0.2\sqrt{\max(m, n)}` by which updates are as large as
    AdamW's. The buffer ``momentum_buffer`` holds :math:`B`, of the parameter's shape and dtype.

    Args:
        params: matrices, ``(name, matrix)`` pairs, or group dicts; weights of hidden layers. All
            else (embeddings, biases) is for another algorithm.
        lr: learning rate :math:`\gamma \ge 0`, a number or a one-element tensor (default 1e-3).
        weight_decay: decoupled weight decay :math:`\lambda \ge 0` (default 0.1).
        momentum: :math:`\mu \ge 0` (default 0.95).
        nesterov: whether the momentum is looked ahead by a step (default True).
        ns_coefficients: :math:`(a, b, c)` (default (3.4445, -4.775, 2.0315)).
        eps: :math:`\epsilon \ge 0`, keeps the norm from zero (default 1e-7).
        ns_steps: :math:`k \ge 0` (default 5).
        adjust_lr_fn: ``"original"`` or ``"match_rms_adamw"``, the two factors
            :math:`\alpha_{mn}` above (default None, the first).
        maximize: ascend instead of descend (default False).

    Raises:
        HyperparameterError: a value is out of its range.
        GroupError: a parameter isn't a matrix.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.eye(2))
        >>> optimizer = Muon([theta], lr=0.1, weight_decay=0.0)
        >>> theta.grad = torch.tensor([[0.0, 4.0], [4.0, 0.0]])
        >>> optimizer.step()
        >>> theta.data.round(decimals=2)
        tensor([[ 1.0000, -0.1100],
                [-0.1100,  1.0000]])

    Source:
        Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024,
        https://kellerjordan.github.io/posts/muon/; the second factor is from Liu et al.,
        *Muon is Scalable for LLM Training*, 2025, section 2.2, https://arxiv.org/abs/2502.16982.
    """

    paper = "Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/"

    lr: float | Tensor = learning_rate(1e-3, 1e-4, 1e-1)
    weight_decay: float = weight_decay_rate(0.1, low=1e-4, high=1.0, doc="decoupled decay")
    momentum: float = hyperparameter(
        default=0.95, range=at_least(0.0), search=uniform(0.5, 0.99), doc="decay of the mean"
    )
    nesterov: bool = hyperparameter(default=True, range=boolean(), doc="look ahead by a step")
    ns_coefficients: tuple[float, float, float] = hyperparameter(
        default=(3.4445, -4.775, 2.0315),
        range=each(at_least(-math.inf), 3),
        doc="coefficients of the Newton-Schulz polynomial",
    )
    eps: float = epsilon(1e-7, doc="keeps the norm from zero")
    ns_steps: int = hyperparameter(
        default=5, range=whole(0, high=99), doc="number of Newton-Schulz steps"
    )
    adjust_lr_fn: str | None = hyperparameter(
        default=None,
        range=one_of(
            None,
            "original",
            "match_rms_adamw",
            in_torch="Adjust learning rate function {} is not supported",
        ),
        doc="factor of the learning rate, by the matrix's size",
    )

    counts_steps = False
    tolerances: ClassVar[Mapping[torch.dtype, float]] = {torch.float32: 4e-4, torch.float64: 4e-4}

    momentum_buffer = Buffer(doc="mean of the gradients")

    @staticmethod
    def update(p: Tensor, g: Tensor, s: Any, h: Any, t: None) -> None:
        """Update a matrix, or a batch of them, in place."""
        s.momentum_buffer.lerp_(g, 1 - h.momentum)
        u = g.lerp(s.momentum_buffer, h.momentum) if h.nesterov else s.momentum_buffer
        u = orthogonalized(u, h.ns_coefficients, h.ns_steps, h.eps)
        p.mul_(1 - h.lr * h.weight_decay)
        p.add_(u, alpha=-h.lr * factor(p, h.adjust_lr_fn))


def factor(p: Tensor, adjust_lr_fn: str | None) -> float:
    """Return the factor of the learning rate.

    Args:
        p: a matrix, or a batch of them.
        adjust_lr_fn: which factor; None for the original one.
    """
    rows, columns = p.shape[-2:]
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / max(1, columns)))


def orthogonalized(
    u: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Return a matrix of the same singular vectors, with singular values of about one.

    Args:
        u: a matrix, or a batch of them.
        coefficients: of the polynomial, of degrees 1, 3 and 5.
        steps: how often it is applied.
        eps: the smallest norm that is divided by.
    """
    a, b, c = coefficients
    is_tall = u.shape[-2] > u.shape[-1]
    x = u.bfloat16().mT if is_tall else u.bfloat16()  # the smaller product of the two
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = symmetric_matmul(x, x.mT)
        polynomial = symmetric_matmul(gram, gram, added=gram, beta=b, alpha=c)
        x = addmm(x, polynomial, x, beta=a)
    return x.mT if is_tall else x
