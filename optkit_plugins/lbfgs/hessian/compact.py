r"""The inverse Hessian's approximation in its compact form, by products of remembered vectors.

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

import attrs
import torch
from torch import Tensor


@attrs.define(eq=False)
class Products:
    r"""The products of all remembered rows with a vector :math:`v`, in float64 on the CPU.

    Args:
        all: :math:`s_i^\top v` and then :math:`y_i^\top v` for every slot.
        steps: the first half.
        changes: the second half.
    """

    all: Tensor
    steps: Tensor = attrs.field(init=False)
    changes: Tensor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Divide what there is."""
        self.steps, self.changes = self.all.chunk(2)


@attrs.define(eq=False)
class Compact:
    r"""The small matrices, in float64 on the CPU, by slots of the ring and not by age.

    :math:`R^{-1}` is kept instead of :math:`R`: a new pair adds a column to it, and leaving
    out the oldest one only takes a row and a column away, since :math:`R` is triangular.

    Args:
        inverse: :math:`R^{-1}`.
        squares: :math:`Y^\top Y`.
        curvatures: :math:`D`, :math:`s_i^\top y_i` of each slot.
    """

    inverse: Tensor
    squares: Tensor
    curvatures: Tensor
    _lines: dict[str, Sequence[Tensor]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Keep a view of every row and column; making one costs as much as a small product."""
        self._lines = {
            "row": list(self.inverse),
            "column": list(self.inverse.t()),
            "square": list(self.squares),
            "square column": list(self.squares.t()),
            "diagonal": list(self.inverse.diagonal()),
            "curvature": list(self.curvatures),
        }

    @classmethod
    def empty(cls, room: int) -> Compact:
        """Return the matrices of no pairs, with room for some."""
        return cls(
            *(torch.zeros(shape, dtype=torch.float64, device="cpu")
              for shape in ((room, room), (room, room), (room,)))
        )  # fmt: skip

    @classmethod
    def of(cls, gram: Tensor, count: int) -> Compact:
        """Return the matrices of pairs that lie in the first slots, the oldest first.

        Args:
            gram: the products of all steps and then all changes with each other.
            count: how many pairs there are.
        """
        room = gram.shape[0] // 2
        compact, mixed = cls.empty(room), gram[:count, room : room + count]
        identity = torch.eye(count, dtype=torch.float64, device="cpu")
        inverse = torch.linalg.solve_triangular(mixed.triu(), identity, upper=True)
        compact.inverse[:count, :count] = inverse
        compact.squares[:] = gram[room:, room:]
        compact.curvatures[:count] = mixed.diagonal()
        return compact

    def take(self, inverse: Tensor, squares: Tensor, curvatures: Tensor) -> None:
        """Copy what another one holds, or a checkpoint, as far as it goes."""
        self.clear()
        count = len(curvatures)
        self.inverse[:count, :count] = inverse
        self.squares[:count, :count] = squares
        self.curvatures[:count] = curvatures

    @property
    def room(self) -> int:
        """The number of pairs there is room for."""
        return self.curvatures.shape[0]

    @property
    def is_sound(self) -> bool:
        """Whether all numbers are finite, and no curvature is negative."""
        finite = all(bool(m.isfinite().all()) for m in (self.inverse, self.squares))
        return finite and bool((self.curvatures >= 0).all())

    def clear(self) -> None:
        """Forget all pairs."""
        for matrix in (self.inverse, self.squares, self.curvatures):
            matrix.zero_()

    def put(self, slot: int, products: Products, curvature: float) -> None:
        r"""Put a new pair :math:`(s, y)` into a slot, in place of the oldest one's.

        Args:
            slot: where.
            products: of every row with :math:`y`.
            curvature: :math:`s^\top y`, more than 0.
        """
        line = {name: lines[slot] for name, lines in self._lines.items()}
        line["row"].zero_()
        line["column"].zero_()
        line["column"].copy_(torch.mv(self.inverse, products.steps).div_(-curvature))
        line["diagonal"].fill_(1.0 / curvature)
        line["square"].copy_(products.changes)
        line["square column"].copy_(products.changes)
        line["curvature"].fill_(curvature)

    def solve(self, products: Products, gamma: float) -> Tensor:
        r"""Return how :math:`-H g` is made: :math:`c_j` in :math:`\sum_j c_j w_j - \gamma g`.

        Args:
            products: of every row with :math:`g`.
            gamma: the scale :math:`\gamma`.

        Returns:
            The coefficients of every :math:`s_i`, then of every :math:`y_i`.
        """
        steps = torch.mv(self.inverse, products.steps)
        inner = torch.addmv(products.changes, self.squares, steps, beta=-gamma, alpha=gamma)
        inner.addcmul_(self.curvatures, steps)
        return torch.cat((torch.mv(self.inverse.t(), inner.neg_()), steps.mul_(gamma)))
