"""Matrices whose rows are as long as the parameters, allocated once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import attrs
import torch
from torch import Tensor

CHUNK = 1 << 16
"""Elements of a row that are widened at a time where rows are kept in another dtype."""

LINE = 64
"""Bytes in a cache line."""


def matrix(rows: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a matrix of zeros whose rows all begin at a cache line, and never at one place.

    Products then don't depend on which row holds a vector. The distance between rows is an odd
    number of cache lines: were it a power of two, all rows would compete for the same part of
    the cache.
    """
    width = LINE // dtype.itemsize
    lines = -(-size // width) | 1
    return torch.zeros(rows, lines * width, dtype=dtype, device=device)[:, :size]


@attrs.define(eq=False)
class Rows:
    r"""The remembered pairs: steps :math:`s_i`, then changes of the gradient :math:`y_i`.

    Two passes over the memory are all that an iteration needs of them: `multiply_rows` and
    `add_rows`.

    Args:
        data: a matrix of one row for each :math:`s_i`, then one for each :math:`y_i`.
    """

    data: Tensor
    _views: list[Tensor] = attrs.Factory(list)

    def view(self, row: int) -> Tensor:
        """Return a row; the same tensor each time, since making one costs microseconds."""
        self._views = self._views or rows_of(self.data)
        return self._views[row]

    @property
    def room(self) -> int:
        """The number of pairs there is room for."""
        return self.data.shape[0] // 2

    def step(self, slot: int) -> Tensor:
        r"""Return the row of :math:`s_i`."""
        return self.view(slot)

    def change(self, slot: int) -> Tensor:
        r"""Return the row of :math:`y_i`."""
        return self.view(self.room + slot)

    def gram(self) -> Tensor:
        """Return all products of rows with each other, in float64."""
        total = torch.zeros(2 * self.room, 2 * self.room, dtype=torch.float64)
        for part in _parts(self.data):
            rows = torch.stack([self.view(row)[part] for row in range(2 * self.room)])
            rows = rows.to("cpu", torch.float64)
            total.addmm_(rows, rows.t())
        return total


def rows_of(matrix: Tensor) -> list[Tensor]:
    """Return a view of each row; one by one, since not every device has all of them at once."""
    return [matrix[row] for row in range(matrix.shape[0])]


def pieces_of(vector: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return views of a vector's parts of these sizes, likewise."""
    starts = accumulate(sizes, initial=0)
    return [vector.narrow(0, start, size) for start, size in zip(starts, sizes, strict=False)]


def multiply_rows(matrix: Tensor, count: int, vector: Tensor, out: Tensor) -> None:
    r"""Write :math:`s_i^\top v` and then :math:`y_i^\top v` of the first `count` slots."""
    room = matrix.shape[0] // 2
    if matrix.dtype != vector.dtype:
        parts = ((matrix[:, part].to(vector.dtype), vector[part]) for part in _parts(matrix))
        torch.sum(torch.stack([torch.mv(*pair) for pair in parts]), 0, out=out)
    elif count == room:
        torch.mv(matrix, vector, out=out)
    else:
        for first in (0, room):
            torch.mv(matrix[first : first + count], vector, out=out[first : first + count])


def add_rows(
    matrix: Tensor, count: int, coefficients: Tensor, gradient: Tensor, gamma: float, out: Tensor
) -> None:
    r"""Write :math:`\sum_j c_j w_j - \gamma g` into `out`, of the first `count` slots."""
    room, rows = matrix.shape[0] // 2, matrix.t()
    if matrix.dtype != out.dtype:
        torch.mul(gradient, -gamma, out=out)
        for part in _parts(matrix):
            out[part].addmv_(matrix[:, part].t().to(out.dtype), coefficients)
    elif count == room:
        torch.addmv(gradient, rows, coefficients, beta=-gamma, out=out)
    else:
        steps, changes = (slice(first, first + count) for first in (0, room))
        torch.addmv(gradient, rows[:, steps], coefficients[steps], beta=-gamma, out=out)
        out.addmv_(rows[:, changes], coefficients[changes])


def _parts(matrix: Tensor) -> Iterator[slice]:
    for start in range(0, matrix.shape[1], CHUNK):
        yield slice(start, start + CHUNK)
