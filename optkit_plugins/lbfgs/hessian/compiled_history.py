"""The history where a single fused block holds all vectors: its small matrices compiled, too."""

from __future__ import annotations

import math

import attrs

from optkit_plugins.lbfgs.hessian.pair_history import AcceptedStep, Direction, History
from optkit_plugins.lbfgs.hessian.sharded_history import ShardedHistory
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.vectors.compiled_block import FusedBlock
from optkit_plugins.lbfgs.vectors.gradient_info import DIRECTION_NORM, SLOPE
from optkit_plugins.lbfgs.vectors.passes import PairProducts
from optkit_plugins.lbfgs.vectors.sharded_space import ShardedSpace
from optkit_plugins.lbfgs.vectors.space import Space


@attrs.define(eq=False)
class FusedHistory(History):
    """The history of a space of one fused block, by two passes in an iteration."""

    def __attrs_post_init__(self) -> None:
        """Tell the passes where the small matrices are."""
        # The passes keep the addresses: from now on these tensors are written to, never exchanged
        # for others as in `History.push_pair`.
        workspace, compact = self.block.workspace, self.compact
        for name in ("inverse", "squares", "curvatures"):
            setattr(workspace, name, getattr(compact, name).data_ptr())
        workspace.products = self.products.all.data_ptr()
        workspace.previous = self.previous.all.data_ptr()

    @property
    def block(self) -> FusedBlock:
        """The only block of the space."""
        (block,) = self.space.blocks
        assert isinstance(block, FusedBlock)
        return block

    def clear(self) -> None:
        """Forget all pairs."""
        super().clear()
        # Else the next direction would make a pair of rows that are forgotten.
        self.block.workspace.pending = -1

    def push_pair(self, step: AcceptedStep, end: Trial, curvature: float, square: float) -> None:
        """Store a pair, and project the gradient at its end, by one pass."""
        origin, block, g = step.origin.index, self.block, end.gradient
        products = PairProducts(
            step.length * g.slope, g.square - g.products[origin], curvature, square
        )
        block.set_threads(2 * self.count)
        block.passes.push_pair(
            block.workspace, self.slot, self.count, step.length, origin, end.index, products
        )
        self.is_projected = True

    def quasi_newton(self, point: Trial, length: float) -> Direction:
        """Make the direction by one pass, which may put the parameters at a step, too."""
        block = self.block
        position = block.position_at(length)
        block.set_threads(2 * self.count)
        block.passes.direct(block.workspace, self.count, point.index, self.gamma, position)
        block.note_moved(position)
        numbers, _ = block.read(math.nan)
        return Direction(numbers[SLOPE], numbers[DIRECTION_NORM] * block.scale)


def empty_history(space: Space, capacity: int) -> History:
    """Return a history without pairs, compiled where the space is one fused block alone.

    Args:
        space: the vectors.
        capacity: the number of pairs that can be remembered.
    """
    if isinstance(space, ShardedSpace):
        return ShardedHistory.empty(space, capacity)
    # Of several blocks the products have to be added up before the small matrices use them.
    is_fused = len(space.blocks) == 1 and isinstance(space.blocks[0], FusedBlock)
    return (FusedHistory if is_fused else History).empty(space, capacity)
