"""Products of whole matrices, of a single one or of each matrix in a batch."""

from __future__ import annotations

import torch
from torch import Tensor

STRIP = 256
"""How many rows of a symmetric product are computed at once, from twice as many on.

Strips of 128 and of 512 rows save less than those of 256, by which a product of 1024 rows takes
0.74 of the time on CPU, and one of 2048 rows 0.63; one of 512 rows 0.95.
"""


def addmm(
    added: Tensor, left: Tensor, right: Tensor, *, beta: float = 1.0, alpha: float = 1.0
) -> Tensor:
    r"""Return :math:`\beta C + \alpha AB`, rounded once, for a matrix or for each of a batch.

    Args:
        added: :math:`C`, of shape ``(rows, columns)`` or ``(batch, rows, columns)``.
        left: :math:`A`, of shape ``(rows, inner)`` or ``(batch, rows, inner)``.
        right: :math:`B`, of shape ``(inner, columns)`` or ``(batch, inner, columns)``.
        beta: factor of :math:`C` (default 1).
        alpha: factor of the product (default 1).

    >>> one = torch.eye(2)
    >>> addmm(one, one, one, beta=2.0, alpha=3.0)
    tensor([[5., 0.],
            [0., 5.]])
    """
    if added.shape[:-2] == (1,):  # a batch of one: what is transposed bmm copies first, mm doesn't
        return addmm(added[0], left[0], right[0], beta=beta, alpha=alpha).unsqueeze(0)
    multiply = torch.addmm if added.dim() == 2 else torch.baddbmm
    return multiply(added, left, right, beta=beta, alpha=alpha)


def symmetric_matmul(
    left: Tensor,
    right: Tensor,
    *,
    added: Tensor | None = None,
    beta: float = 1.0,
    alpha: float = 1.0,
) -> Tensor:
    r"""Return :math:`\beta C + \alpha AB` where that is known to be symmetric.

    Of large matrices in a batch only the upper half is computed, and mirrored. A single matrix is
    multiplied as a whole, so that a for-loop rounds as any other does.

    Args:
        left: :math:`A`, of shape ``(rows, inner)`` or ``(batch, rows, inner)``.
        right: :math:`B`, of shape ``(inner, rows)`` or ``(batch, inner, rows)``.
        added: :math:`C`, of shape ``(rows, rows)`` or ``(batch, rows, rows)``; None (default): 0.
        beta: factor of :math:`C` (default 1).
        alpha: factor of the product, used with `added` alone (default 1).

    >>> x = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    >>> symmetric_matmul(x, x.mT)
    tensor([[5., 6.],
            [6., 9.]])
    """
    rows = left.shape[-2]
    if left.dim() == 2 or rows < 2 * STRIP:
        return _product(left, right, added, beta, alpha)
    product = left.new_empty((*left.shape[:-1], rows))
    for begin in range(0, rows, STRIP):
        end = min(begin + STRIP, rows)
        part = None if added is None else added[..., begin:end, begin:]
        strip = _product(left[..., begin:end, :], right[..., begin:], part, beta, alpha)
        product[..., begin:end, begin:] = strip
        product[..., end:, begin:end] = strip[..., end - begin :].mT
    return product


def _product(
    left: Tensor, right: Tensor, added: Tensor | None, beta: float, alpha: float
) -> Tensor:
    if added is not None:
        return addmm(added, left, right, beta=beta, alpha=alpha)
    return (left[0] @ right[0]).unsqueeze(0) if left.shape[:-2] == (1,) else left @ right
