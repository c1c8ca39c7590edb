r"""The curvature pairs :math:`(s_i, y_i)` as rows of a matrix that is allocated once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import attrs
import torch
from torch import Tensor

CHUNK = 1 << 16
"""Elements of a row that are widened at a time where pairs are kept in another dtype."""

CACHE_LINE = 64
"""Bytes in a cache line."""


def aligned_matrix(rows: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a matrix of zeros whose rows begin at cache lines an odd number of lines apart.

    Products then don't depend on which row holds a vector. Were the distance a power of two,
    all rows would compete for the same part of the cache.

    Args:
        rows: the number of rows.
        size: the elements of each.
        dtype: of the elements.
        device: where the matrix lies.
    """
    width = CACHE_LINE // dtype.itemsize
    lines = -(-size // width) | 1
    return torch.zeros(rows, lines * width, dtype=dtype, device=device)[:, :size]


@attrs.define(eq=False)
class PairMatrix:
    r"""The remembered pairs: every step :math:`s_i`, then every gradient change :math:`y_i`.

    An iteration reads it twice, in `multiply_rows` and `add_rows`.

    Args:
        data: shape ``(2 * capacity, n)``.
    """

    data: Tensor
    _views: list[Tensor] = attrs.Factory(list)

    def row(self, number: int) -> Tensor:
        """Return a row; the same tensor each time, since making one costs microseconds."""
        self._views = self._views or views_of_rows(self.data)
        return self._views[number]

    @property
    def capacity(self) -> int:
        """The number of pairs that can be held."""
        return self.data.shape[0] // 2

    def s(self, slot: int) -> Tensor:
        r"""Return :math:`s_i`."""
        return self.row(slot)

    def y(self, slot: int) -> Tensor:
        r"""Return :math:`y_i`."""
        return self.row(self.capacity + slot)

    def gram(self) -> Tensor:
        """Return the products of all rows with each other, in float64 on the CPU."""
        rows = range(2 * self.capacity)
        total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        # Of 100 pairs in float64 a chunk is 100 MiB, whatever the number of parameters.
        for chunk in _chunks(self.data):
            part = torch.stack([self.row(number)[chunk] for number in rows])
            part = part.to("cpu", torch.float64)
            total.addmm_(part, part.t())
        return total


def views_of_rows(matrix: Tensor) -> list[Tensor]:
    """Return a view of each row; one by one, since not every device can unbind a tensor."""
    return [matrix[row] for row in range(matrix.shape[0])]


def split_views(vector: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return consecutive views of a vector, of these sizes."""
    starts = accumulate(sizes, initial=0)
    return [vector.narrow(0, start, size) for start, size in zip(starts, sizes, strict=False)]


def multiply_rows(matrix: Tensor, count: int, vector: Tensor, out: Tensor) -> None:
    r"""Write :math:`s_i^\top v` and :math:`y_i^\top v` of the first `count` slots.

    Args:
        matrix: as in `PairMatrix`.
        count: the number of pairs; the other slots are left alone.
        vector: :math:`v`, of shape ``(n,)``; pairs of another dtype are widened to its.
        out: takes the products, of shape ``(2 * capacity,)``.
    """
    capacity = matrix.shape[0] // 2
    if matrix.dtype != vector.dtype:
        # All rows, for one product a chunk: the coefficients of those not in use are 0.
        chunks = ((matrix[:, chunk].to(vector.dtype), vector[chunk]) for chunk in _chunks(matrix))
        torch.sum(torch.stack([torch.mv(*pair) for pair in chunks]), 0, out=out)
    elif count == capacity:
        torch.mv(matrix, vector, out=out)
    else:
        for first in (0, capacity):
            torch.mv(matrix[first : first + count], vector, out=out[first : first + count])


def add_rows(
    matrix: Tensor, count: int, coefficients: Tensor, gradient: Tensor, gamma: float, out: Tensor
) -> None:
    r"""Write :math:`\sum_j c_j w_j - \gamma g`, the rows :math:`w_j` those of the first slots.

    Args:
        matrix: as in `PairMatrix`.
        count: the number of pairs.
        coefficients: :math:`c`, of shape ``(2 * capacity,)``.
        gradient: :math:`g`, of shape ``(n,)``.
        gamma: the scale :math:`\gamma`.
        out: takes the sum, of shape ``(n,)``.
    """
    capacity, rows = matrix.shape[0] // 2, matrix.t()
    if matrix.dtype != out.dtype:
        torch.mul(gradient, -gamma, out=out)
        for chunk in _chunks(matrix):
            out[chunk].addmv_(matrix[:, chunk].t().to(out.dtype), coefficients)
    elif count == capacity:
        torch.addmv(gradient, rows, coefficients, beta=-gamma, out=out)
    else:
        s, y = (slice(first, first + count) for first in (0, capacity))
        torch.addmv(gradient, rows[:, s], coefficients[s], beta=-gamma, out=out)
        out.addmv_(rows[:, y], coefficients[y])


def _chunks(matrix: Tensor) -> Iterator[slice]:
    for start in range(0, matrix.shape[1], CHUNK):
        yield slice(start, start + CHUNK)
