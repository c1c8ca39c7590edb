"""The history of many ranks: the pairs by parts, the small matrices the same on all of them."""

from __future__ import annotations

import attrs
import torch

from optkit_plugins.lbfgs.hessian.pair_history import AcceptedStep, Direction, History
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.vectors.sharded_space import ShardedSpace


@attrs.define(eq=False)
class ShardedHistory(History):
    """A history whose products with the pairs are added up over the ranks, once an iteration.

    What is small is computed by every rank for itself, of the same bits, and needs no message.
    """

    @property
    def sharded(self) -> ShardedSpace:
        """The space."""
        assert isinstance(self.space, ShardedSpace)
        return self.space

    def push_pair(self, step: AcceptedStep, end: Trial, curvature: float, square: float) -> None:
        """Store a pair, and project the gradient at its end, with one message for the products."""
        origin, g = step.origin.index, end.gradient
        self.products, self.previous = self.previous, self.products
        self.sharded.push_pair(
            self.slot, self.count, step.length, end.index, origin, self.products.all
        )
        self.is_projected = True
        # Those of the new pair itself came with the gradients.
        self.products.s[self.slot] = step.length * g.slope
        self.products.y[self.slot] = g.square - g.products[origin]
        torch.sub(self.products.all, self.previous.all, out=self.previous.all)
        self.previous.s[self.slot] = curvature
        self.previous.y[self.slot] = square
        self.compact.push_pair(self.slot, self.previous, curvature)

    def _update_carefully(
        self, step: AcceptedStep, point: Trial, next_length: float | None
    ) -> None:
        """Do what `History` does, with all products made before the pair is judged, in one row."""
        y, end = step.origin.index, step.end or point
        for block in self.space.blocks:
            torch.sub(block.gradient(end.index), block.gradient(y), out=block.gradient(y))
        slope, square, with_g = self.sharded.project_change(
            self.count, y, point.index, self.previous.all, self.products.all
        )
        self.is_projected = True
        curvature, slot = step.length * slope, self.slot
        if not self._is_acceptable(step, curvature, square, next_length):
            return
        self.count = max(self.count, slot + 1)
        for block in self.space.blocks:
            block.store_pair(slot, step.length, y, None)
        # In this slot are products of the pair that leaves.
        self.previous.s[slot], self.previous.y[slot] = curvature, square
        self.products.s[slot], self.products.y[slot] = step.length * point.gradient.slope, with_g
        self.compact.push_pair(slot, self.previous, curvature)
        self._advance(curvature, square)

    def quasi_newton(self, point: Trial, length: float) -> Direction:
        """Make the direction, with the parameters at the first step where a pass puts them."""
        coefficients = self.compact.coefficients(self.products, self.gamma)
        for block in self.space.blocks:
            block.combine(self.count, coefficients, point.index, self.gamma, length)
        slope = torch.dot(coefficients, self.products.all).item()
        return Direction(slope - self.gamma * point.gradient.square)
