"""The space of many ranks: each holds a part of every vector, and a number is that of all parts.

What lies where: a block's vectors are as long as what this rank holds of the block's parameters,
one parameter's part after the other, in the order of the groups. `ShardedSpace.parts_of` gives
them parameter by parameter, in the shapes of the local parts. A rank that holds nothing has no
block, and takes part in every collective like the others. The small matrices of the history are
the same on all ranks.

Numbers travel in rows of float64 of a fixed length, one row a rank: one collective for an
evaluation, its loss included, and one for the products of the pairs in an iteration. The loss
is the mean over the ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

import attrs
import torch
from torch import Tensor

from optkit_plugins.lbfgs.ranks.communicator import largest
from optkit_plugins.lbfgs.ranks.span import Span
from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.gradient_info import (
    DIRECTION_NORM,
    HAS_CHANGED,
    HAS_MOVED,
    LOSS,
    MAX_NORM,
    ORIGIN_SLOPE,
    PRODUCTS,
    SLOPE,
    GradientInfo,
)
from optkit_plugins.lbfgs.vectors.pair_matrix import split_views
from optkit_plugins.lbfgs.vectors.space import Query, Space

PRECISION, CALLBACKS = LOSS + 1, LOSS + 2
"""Where the further numbers of a rank's row stand, behind those of a block."""

LENGTH = CALLBACKS + 1

OWNED = (SLOPE, *range(PRODUCTS, MAX_NORM), ORIGIN_SLOPE)
"""What is summed over the owners of elements alone."""

SUMS = (*OWNED, HAS_MOVED, HAS_CHANGED, LOSS, CALLBACKS)
MAXIMA = (MAX_NORM, DIRECTION_NORM, PRECISION)


@attrs.define(eq=False)
class ShardedSpace(Space):
    """The vectors of an optimizer whose parameters are distributed over ranks.

    Args:
        span: the ranks.
        callbacks: how many ranks have a callback, as the last evaluation has told.
    """

    span: Span = attrs.field(kw_only=True)
    callbacks: int = 0

    @property
    def is_sharded(self) -> bool:
        """Whether other ranks have elements of the vectors."""
        return True

    @property
    def listens(self) -> bool:
        """Whether any rank has a callback to ask."""
        return self.callbacks > 0

    def any_says(self, answer: bool) -> bool:
        """Return whether a callback has said yes on any rank."""
        return any(row[0] for row in self.span.communicator.gather([float(answer)]))

    def _read(self, index: int, loss: float | Tensor, query: Query | None) -> GradientInfo:
        if query is not None:
            for block in self.blocks:
                query(block)
        rows = self.span.communicator.gather(self._row(float(loss)))
        numbers = [0.0] * LENGTH
        for column in SUMS:
            numbers[column] = sum(map(itemgetter(column), rows))
        for column in MAXIMA:
            numbers[column] = largest(map(itemgetter(column), rows))
        self.precision, self.callbacks = numbers[PRECISION], int(numbers[CALLBACKS])
        products = numbers[PRODUCTS:MAX_NORM]
        return GradientInfo(
            numbers[LOSS] / len(rows),
            numbers[SLOPE],
            products[index],
            numbers[MAX_NORM],
            products,
            numbers[ORIGIN_SLOPE],
            numbers[DIRECTION_NORM],
            numbers[HAS_MOVED],
            numbers[HAS_CHANGED],
        )

    def _row(self, loss: float) -> list[float]:
        """Return this rank's numbers."""
        row = [0.0] * LENGTH
        row[LOSS], row[PRECISION], row[CALLBACKS] = loss, self.precision, self.has_callback
        for block in self.blocks:
            numbers, _ = block.read(0.0)
            for column in OWNED:
                row[column] += numbers[column] if block.is_owner else 0.0
            for column in (HAS_MOVED, HAS_CHANGED):
                row[column] += numbers[column]
            norms = row[MAX_NORM], block.unscaled(numbers[MAX_NORM])
            row[MAX_NORM] = largest(norms)
            row[DIRECTION_NORM] = largest(
                (row[DIRECTION_NORM], numbers[DIRECTION_NORM] * block.scale)
            )
        return row

    def absolute_sum(self, index: int) -> float:
        r"""Return :math:`\lVert g \rVert_1` of a gradient."""
        owned = [block for block in self.blocks if block.is_owner]
        norms = (torch.linalg.vector_norm(block.gradient(index), 1).item() for block in owned)
        return sum(row[0] for row in self.span.communicator.gather([sum(norms)]))

    def is_near_start(self, length: float) -> bool:
        """Return whether the parameters of all ranks are; see `Space.is_near_start`."""
        gather = self.span.communicator.gather
        norms = gather([largest(block.direction_norm() for block in self.blocks)])
        moved = length * largest(row[0] for row in norms)
        is_near = all(block.is_near_start(moved) for block in self.blocks)
        return all(row[0] for row in gather([float(is_near)]))

    def push_pair(
        self, slot: int, count: int, length: float, after: int, before: int, out: Tensor
    ) -> None:
        """Remember a step as a pair, and write the products of the other pairs with a gradient.

        Args:
            slot: where.
            count: the number of pairs with it.
            length: the step length.
            after: the gradient after the step.
            before: the one before it.
            out: takes them, as for `project`.
        """
        out.zero_()
        for block in self.blocks:
            block.products.zero_()
            block.push_pair(slot, count, length, after, before, block.products)
            if block.is_owner:
                out.add_(block.products.to("cpu", torch.float64))
        self.span.communicator.add(out)

    def project_change(
        self, count: int, change: int, index: int, with_change: Tensor, with_gradient: Tensor
    ) -> tuple[float, float, float]:
        r"""Write the products of `count` pairs with a change :math:`y` and with a gradient.

        Args:
            count: the number of pairs.
            change: which of the gradients :math:`y` is.
            index: which one :math:`g` is.
            with_change: takes the products with :math:`y`, as for `project`.
            with_gradient: takes those with :math:`g`.

        Returns:
            :math:`d^\top y`, :math:`y^\top y` and :math:`y^\top g`.
        """
        columns = SLOPE, PRODUCTS + change, PRODUCTS + index
        size = len(with_change)
        sizes = len(columns), size, size
        total = torch.zeros(sum(sizes), dtype=torch.float64, device="cpu")
        numbers, of_change, of_gradient = split_views(total, sizes)
        for block in self.blocks:
            block.measure(change, index)
            if block.is_owner:
                numbers.add_(torch.tensor(block.read(0.0)[0], dtype=torch.float64)[list(columns)])
                _add_products(block, count, change, of_change)
                _add_products(block, count, index, of_gradient)
        self.span.communicator.add(total)
        with_change.copy_(of_change)
        with_gradient.copy_(of_gradient)
        slope, square, product = numbers.tolist()
        return slope, square, product

    def project(self, count: int, index: int, out: Tensor) -> None:
        """Write the products of `count` pairs with a gradient; see `Space.project`."""
        out.zero_()
        if not count:
            return
        for block in self.blocks:
            if block.is_owner:
                _add_products(block, count, index, out)
        self.span.communicator.add(out)

    def parts_of(self, pick: Callable[[Block], Tensor]) -> dict[Tensor, Tensor]:
        """Return what this rank has of a vector, for each parameter of which it has elements.

        Args:
            pick: returns a vector of a block.

        Returns:
            Views in the shapes of the parameters' parts, by the plain tensor that
            `HeldParts.part_of` gives for a parameter.
        """
        return {
            part: view
            for block in self.blocks
            for part, view in zip(block.params, block.as_shaped(pick(block)), strict=True)
        }


def _add_products(block: Block, count: int, index: int, total: Tensor) -> None:
    """Add the products of a block's pairs with a gradient."""
    if count:
        block.products.zero_()  # those of slots that aren't in use
        block.project(count, index, block.products)
        total.add_(block.products.to("cpu", torch.float64))
