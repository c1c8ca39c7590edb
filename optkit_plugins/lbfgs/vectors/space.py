"""The space: all blocks together, their sums, and what is read back to the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs
import torch
from torch import Tensor

from optkit_plugins.lbfgs.vectors.block import EXTRA, GRADIENTS, LARGEST, LOSS, Block
from optkit_plugins.lbfgs.vectors.readback import read_back

Asked: TypeAlias = Callable[[Block], object]
"""Writes at most three further numbers of a block to where they are read, from `EXTRA` on."""


def nothing(block: Block) -> None:
    """Ask for no further numbers."""


@attrs.frozen(eq=False)
class Reading:
    r"""What is known of a gradient :math:`g` at a point, in numbers.

    Args:
        loss: :math:`f(x)`.
        slope: :math:`g^\top d` for the direction of now.
        square: :math:`g^\top g`.
        largest: :math:`\lVert g \rVert_\infty`, for the parameters as they are.
        products: :math:`g^\top g_i` for the gradient in each slot.
        extra: what else was asked for, a row for each block.
    """

    loss: float
    slope: float
    square: float
    largest: float
    products: Sequence[float] = ()
    extra: Sequence[Sequence[float]] = ()

    @property
    def is_finite(self) -> bool:
        """Whether one can reckon with the point."""
        return math.isfinite(self.loss) and math.isfinite(self.square)

    def total(self, column: int) -> float:
        """Return an extra number, added up over the blocks."""
        return sum(row[column] for row in self.extra)


@attrs.define(eq=False)
class Space:
    """The vectors of an optimizer, in blocks; a number is the sum over all of them.

    Args:
        blocks: none of them empty.
        scales: those of the parameter groups.
        precision: the relative distance of neighboring numbers in the coarsest block.
    """

    blocks: list[Block]
    scales: list[float]
    precision: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look the precision up, which takes as long as a small pass."""
        self.precision = max(torch.finfo(block.dtype).eps for block in self.blocks)

    def receive(
        self, slot: int, loss: float | Tensor, asked: Asked = nothing, other: int | None = None
    ) -> Reading:
        """Take the gradients of the parameters; see `read`, which needs no look at them."""
        for block in self.blocks:
            block.receive(slot, other)
        return self._read(slot, loss, asked)

    def read(
        self, slot: int, loss: float | Tensor, asked: Asked = nothing, other: int | None = None
    ) -> Reading:
        """Return what is known of a gradient, with one read-back for all numbers.

        Args:
            slot: of the gradient.
            loss: at the point of the gradient, a number or a tensor of one element.
            asked: writes down further numbers of a block.
            other: the slot of the other gradient whose product with this one is of interest.
        """
        for block in self.blocks:
            block.measure(slot, other)
        return self._read(slot, loss, asked)

    def _read(self, slot: int, loss: float | Tensor, asked: Asked) -> Reading:
        for block in self.blocks:
            asked(block)
        if len(self.blocks) == 1:
            sums, value = self.blocks[0].read(loss)
            rows, largest = [sums], self.blocks[0].unscaled(sums[LARGEST])
        else:
            rows, value = read_back([block.numbers for block in self.blocks], loss)
            sums = [sum(column) for column in zip(*rows, strict=True)]
            norms = [row[LARGEST] for row in rows]
            largest = max(b.unscaled(norm) for b, norm in zip(self.blocks, norms, strict=True))
        extra = [row[EXTRA:LOSS] for row in rows]
        products = sums[1 : 1 + GRADIENTS]
        return Reading(value, sums[0], products[slot], largest, products, extra)

    def reach(self, reading: Reading, column: int) -> float:
        r"""Return the largest change of a parameter by a step of 1, :math:`\lVert d \rVert_\infty`.

        Args:
            reading: what was read, the norm of each block's direction among it.
            column: where among the extra numbers.
        """
        rows = zip(reading.extra, self.blocks, strict=True)
        return max(row[column] * block.scale for row, block in rows)

    def absolute_sum(self, slot: int) -> float:
        """Return the sum of the absolute values of a gradient."""
        norms = [torch.linalg.vector_norm(b.gradient(slot), 1).reshape(1) for b in self.blocks]
        rows, _ = read_back(norms, 0.0)
        return sum(row[0] for row in rows)

    def look(self, count: int, slot: int, out: Tensor) -> None:
        """Write the products of all rows of `count` pairs with a gradient, in float64.

        Args:
            count: how many pairs are remembered.
            slot: of the gradient.
            out: takes them, on the CPU.
        """
        blocks = self.blocks
        if (
            len(blocks) == 1
            and blocks[0].products.dtype == out.dtype
            and out.device == blocks[0].device
        ):
            blocks[0].look(count, slot, out)
            return
        for block in blocks:
            block.look(count, slot, block.products)
        out.zero_()
        for block in blocks:
            out.add_(block.products.to("cpu", torch.float64))
