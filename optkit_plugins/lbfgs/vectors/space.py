"""The space: all blocks together, their sums, and what is read back to the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs
import torch
from torch import Tensor

from optkit_plugins.lbfgs.ranks.held_parts import HeldParts
from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.gradient_info import (
    DIRECTION_NORM,
    HAS_CHANGED,
    HAS_MOVED,
    MAX_NORM,
    ORIGIN_SLOPE,
    PRODUCTS,
    SLOPE,
    GradientInfo,
)
from optkit_plugins.lbfgs.vectors.readback import read_back

Query: TypeAlias = Callable[[Block], object]
"""Writes further numbers of a block down: calls `measure_direction` or `compare`."""


@attrs.define(eq=False)
class Space:
    """The vectors of an optimizer, in blocks; a number is the sum over all of them.

    Args:
        blocks: none of them empty.
        scales: those of the parameter groups.
        held: what stands for DTensors in the blocks; None where there are none.
        has_callback: whether this process has a callback to ask.
        precision: the relative distance of neighboring numbers in the coarsest block.
    """

    blocks: list[Block]
    scales: list[float]
    held: HeldParts | None = None
    has_callback: bool = False
    precision: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look the precision up, which takes as long as a small pass."""
        self.precision = max((torch.finfo(b.dtype).eps for b in self.blocks), default=0.0)

    @property
    def is_sharded(self) -> bool:
        """Whether other ranks have elements of the vectors."""
        return False

    @property
    def listens(self) -> bool:
        """Whether anybody has a callback to ask."""
        return self.has_callback

    def any_says(self, answer: bool) -> bool:
        """Return whether a callback has said yes, this process's or another's."""
        return answer

    def receive(
        self, index: int, loss: float | Tensor, query: Query | None = None, other: int | None = None
    ) -> GradientInfo:
        """Gather the parameters' gradients and return what is known of them, as `measure` does.

        Args:
            index: which of the gradients they become.
            loss: at their point, a number or a tensor of one element.
            query: writes further numbers down.
            other: the one gradient beside it whose product with it is of interest.
        """
        if self.held is None:
            self._gather(index, other)
        else:
            with self.held.gradients():
                self._gather(index, other)
        return self._read(index, loss, query)

    def _gather(self, index: int, other: int | None) -> None:
        for block in self.blocks:
            block.receive(index, other)

    def measure(self, index: int, loss: float | Tensor) -> GradientInfo:
        """Return what is known of a gradient, with one read-back for all numbers.

        Args:
            index: which of the gradients.
            loss: at its point, a number or a tensor of one element.
        """
        for block in self.blocks:
            block.measure(index)
        return self._read(index, loss, None)

    def _read(self, index: int, loss: float | Tensor, query: Query | None) -> GradientInfo:
        blocks = self.blocks
        if query is not None:
            for block in blocks:
                query(block)
        if len(blocks) == 1:
            sums, value = blocks[0].read(loss)
            max_norm = blocks[0].unscaled(sums[MAX_NORM])
            direction_norm = sums[DIRECTION_NORM] * blocks[0].scale
        else:
            rows, value = read_back([block.numbers for block in blocks], loss)
            sums = [sum(column) for column in zip(*rows, strict=True)]
            rows_of = list(zip(blocks, rows, strict=True))
            # max() may lose a NaN; `GradientInfo.is_finite` finds it in the sum of the squares.
            max_norm = max(block.unscaled(row[MAX_NORM]) for block, row in rows_of)
            direction_norm = max(block.scale * row[DIRECTION_NORM] for block, row in rows_of)
        products = sums[PRODUCTS:MAX_NORM]
        return GradientInfo(
            value,
            sums[SLOPE],
            products[index],
            max_norm,
            products,
            sums[ORIGIN_SLOPE],
            direction_norm,
            sums[HAS_MOVED],
            sums[HAS_CHANGED],
        )

    def move(self, length: float) -> None:
        """Put the parameters at a step along the direction."""
        for block in self.blocks:
            block.move(length)

    def scatter(self, index: int) -> None:
        """Give the parameters that have a gradient this one."""
        if self.held is None:
            self._scatter(index)
            return
        with self.held.gradients():
            self._scatter(index)
            self.held.return_gradients()

    def _scatter(self, index: int) -> None:
        for block in self.blocks:
            block.scatter(index)

    def part_of(self, p: Tensor) -> Tensor:
        """Return what stands for a parameter in a block."""
        return p if self.held is None else self.held.part_of(p)

    def is_near_start(self, length: float) -> bool:
        """Return whether the parameters are as near to the start as other rounding puts them.

        Args:
            length: the length of the step along the direction that led to the start.
        """
        return all(b.is_near_start(length * b.direction_norm()) for b in self.blocks)

    def absolute_sum(self, index: int) -> float:
        r"""Return :math:`\lVert g \rVert_1` of a gradient."""
        norms = [torch.linalg.vector_norm(b.gradient(index), 1).reshape(1) for b in self.blocks]
        rows, _ = read_back(norms, 0.0)
        return sum(row[0] for row in rows)

    def project(self, count: int, index: int, out: Tensor) -> None:
        """Write the products of `count` pairs with a gradient, in float64.

        Args:
            count: how many pairs are remembered.
            index: which of the gradients.
            out: takes them, on the CPU, of shape ``(2 * capacity,)``.
        """
        first, *others = self.blocks
        is_alike = first.products.dtype == out.dtype and first.device == out.device
        if is_alike and not others:
            first.project(count, index, out)
            return
        for block in self.blocks:
            block.project(count, index, block.products)
        out.zero_()
        for block in self.blocks:
            out.add_(block.products.to("cpu", torch.float64))
