r"""The approximate inverse Hessian in its compact form, by products of remembered vectors.

With the steps :math:`S`, the changes of the gradient :math:`Y`, :math:`R` the upper triangle of
:math:`S^\top Y` and :math:`D` its diagonal, the approximation is

.. math::
    H = \gamma I + \begin{pmatrix} S & \gamma Y \end{pmatrix}
        \begin{pmatrix} R^{-\top} (D + \gamma Y^\top Y) R^{-1} & -R^{-\top} \\
                        -R^{-1} & 0 \end{pmatrix}
        \begin{pmatrix} S^\top \\ \gamma Y^\top \end{pmatrix}

(Byrd, Nocedal and Schnabel, *Representations of quasi-Newton matrices and their use in limited
memory methods*, Mathematical Programming 63, 1994, theorem 2.2,
https://doi.org/10.1007/BF01582063). What is as long as the parameters is read twice in an
iteration, whatever is remembered; everything here is as small as the number of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import attrs
import torch
from torch import Tensor


@attrs.define(eq=False)
class Products:
    r"""The products of all pairs with a vector :math:`v`, in float64 on the CPU.

    Args:
        all: :math:`s_i^\top v` and then :math:`y_i^\top v` for every slot.
        s: the first half.
        y: the second half.
    """

    all: Tensor
    s: Tensor = attrs.field(init=False)
    y: Tensor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the views."""
        self.s, self.y = self.all.chunk(2)


@attrs.define(eq=False)
class Compact:
    r"""The small matrices, in float64 on the CPU, by slots of the ring and not by age.

    :math:`R^{-1}` is kept instead of :math:`R`: a new pair adds a column to it, and leaving
    out the oldest one only takes a row and a column away, since :math:`R` is triangular.

    Args:
        inverse: :math:`R^{-1}`, of shape ``(capacity, capacity)``.
        squares: :math:`Y^\top Y`, of the same shape.
        curvatures: :math:`D`, :math:`s_i^\top y_i` of each slot, of shape ``(capacity,)``.
    """

    inverse: Tensor
    squares: Tensor
    curvatures: Tensor
    _views: tuple[Sequence[Tensor], ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Keep the views that a pair is written through; making them costs as much as a product."""
        inverse, squares = self.inverse, self.squares
        matrices = inverse, inverse.t(), inverse.diagonal(), squares, squares.t(), self.curvatures
        self._views = tuple(zip(*map(list, matrices), strict=True))

    @classmethod
    def empty(cls, capacity: int) -> Self:
        """Return the matrices of no pairs, and of up to `capacity`."""
        shapes = (capacity, capacity), (capacity, capacity), (capacity,)
        return cls(*(torch.zeros(s, dtype=torch.float64, device="cpu") for s in shapes))

    @property
    def capacity(self) -> int:
        """The number of pairs that can be held."""
        return self.curvatures.shape[0]

    @property
    def is_sound(self) -> bool:
        """Whether all numbers are finite, and no curvature is negative."""
        finite = all(bool(m.isfinite().all()) for m in (self.inverse, self.squares))
        # Slots without a pair hold 0; NaN fails this comparison, too.
        return finite and bool((self.curvatures >= 0).all())

    def clear(self) -> None:
        """Forget all pairs."""
        for matrix in (self.inverse, self.squares, self.curvatures):
            matrix.zero_()

    def load(self, inverse: Tensor, squares: Tensor, curvatures: Tensor) -> None:
        """Copy the matrices of the pairs in the first slots, from a checkpoint for example.

        Args:
            inverse: of shape ``(count, count)``.
            squares: of the same shape.
            curvatures: of shape ``(count,)``.
        """
        self.clear()
        count = len(curvatures)
        self.inverse[:count, :count] = inverse
        self.squares[:count, :count] = squares
        self.curvatures[:count] = curvatures

    def load_gram(self, gram: Tensor, count: int) -> None:
        """Compute the matrices of pairs that lie in the first slots, the oldest first.

        Args:
            gram: the products of all rows with each other, see `PairMatrix.gram`.
            count: how many pairs there are.
        """
        s, y = slice(count), slice(self.capacity, self.capacity + count)
        # R is a triangle only in the order of age. A curvature of 0 leads to numbers that aren't
        # finite here, which `is_sound` reports.
        identity = torch.eye(count, dtype=torch.float64, device="cpu")
        inverse = torch.linalg.solve_triangular(gram[s, y].triu(), identity, upper=True)
        self.load(inverse, gram[y, y], gram[s, y].diagonal())

    def push_pair(self, slot: int, products: Products, curvature: float) -> None:
        r"""Put a new pair :math:`(s, y)` into a slot, in place of the oldest one's.

        Args:
            slot: where.
            products: of every pair with :math:`y`.
            curvature: :math:`s^\top y`, more than 0.
        """
        row, column, diagonal, square_row, square_column, own_curvature = self._views[slot]
        # Before the product: `products.s` has the new pair's own curvature in this slot, which
        # isn't to meet the column of the pair that leaves.
        row.zero_()
        column.zero_()
        # By the inverse of a triangular matrix with a new last column, whatever slot that has.
        column.copy_(torch.mv(self.inverse, products.s).div_(-curvature))
        diagonal.fill_(1.0 / curvature)
        square_row.copy_(products.y)
        square_column.copy_(products.y)
        own_curvature.fill_(curvature)

    def coefficients(self, products: Products, gamma: float) -> Tensor:
        r"""Return :math:`c` in :math:`-H g = \sum_j c_j w_j - \gamma g`, with :math:`w_j` the rows.

        Args:
            products: of every pair with :math:`g`.
            gamma: the scale :math:`\gamma`.

        Returns:
            The coefficients of every :math:`s_i`, then of every :math:`y_i`.
        """
        # Over the whole capacity, since the matrices are zero where no pair is.
        of_y = torch.mv(self.inverse, products.s)
        # (D + gamma Y'Y) R^-1 S'g - gamma Y'g, which -R^-T makes the coefficients of S.
        inner = torch.addmv(products.y, self.squares, of_y, beta=-gamma, alpha=gamma)
        inner.addcmul_(self.curvatures, of_y)
        return torch.cat((torch.mv(self.inverse.t(), inner.neg_()), of_y.mul_(gamma)))
