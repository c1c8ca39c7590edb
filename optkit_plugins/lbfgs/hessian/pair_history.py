"""The history: the remembered curvature pairs, and the direction that follows from them."""

from __future__ import annotations

import math
from typing import Self

import attrs
import torch

from optkit_plugins.lbfgs.hessian.compact import Compact, Products
from optkit_plugins.lbfgs.hessian.curvature_condition import is_clear, is_positive, is_tolerable
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.vectors.space import Space

MIN_CHANGE = 0.1
"""A change of the gradient that is shorter than this part of it is multiplied anew.

Otherwise its products are differences of products that are known, which saves a pass over the
memory and costs as many digits as the gradient is longer than its change.
"""


@attrs.frozen(eq=False)
class AcceptedStep:
    """A step that was accepted, and isn't remembered as a pair yet.

    Args:
        origin: where it began.
        length: the step length.
        end: where it led, None if that hasn't been evaluated.
    """

    origin: Trial
    length: float
    end: Trial | None


@attrs.frozen(eq=False)
class Direction:
    r"""What is known of the search direction :math:`d`.

    Args:
        slope: :math:`g^\top d` at its start.
        norm: :math:`\lVert d \rVert_\infty` in units of the parameters; NaN where it hasn't been
            measured, and then the slope is only what the small matrices say it is.
    """

    slope: float
    norm: float = math.nan


@attrs.define(eq=False)
class History:
    r"""The remembered pairs and the small matrices that belong to them.

    Args:
        space: holds the pairs.
        compact: the small matrices.
        products: the products of the pairs with the gradient that the direction starts from.
        previous: the products with the gradient before that one.
        is_projected: whether `products` belong to the pairs and the gradient of now.
        count: the number of pairs.
        slot: where in the ring the next pair goes.
        gamma: the scale :math:`\gamma` of :math:`H_0 = \gamma I`, equation 7.20 of Nocedal and
            Wright.
    """

    space: Space
    compact: Compact
    products: Products
    previous: Products
    is_projected: bool = False
    count: int = 0
    slot: int = 0
    gamma: float = 1.0

    @classmethod
    def empty(cls, space: Space, capacity: int) -> Self:
        """Return a history without pairs.

        Args:
            space: holds the pairs.
            capacity: how many can be remembered.
        """
        products, previous = torch.zeros(2, 2 * capacity, dtype=torch.float64, device="cpu")
        return cls(space, Compact.empty(capacity), Products(products), Products(previous))

    @property
    def slots_by_age(self) -> list[int]:
        """The slots in use, the oldest pair's first."""
        # Until the ring is full, `slot` is `count`, and this begins at the first slot.
        return [(self.slot + age) % self.count for age in range(self.count)]

    def clear(self) -> None:
        """Forget all pairs."""
        self.compact.clear()
        self.products.all.zero_()
        self.is_projected, self.count, self.slot, self.gamma = False, 0, 0, 1.0

    def project(self, point: Trial) -> None:
        """Multiply the pairs with the gradient from which the next direction starts."""
        self.space.project(self.count, point.index, self.products.all)
        self.is_projected = True

    def update(self, step: AcceptedStep, point: Trial, next_length: float | None = None) -> None:
        r"""Remember a step as a pair :math:`(s, y)`, and `project` the gradient of now.

        A pair whose curvature :math:`s^\top y` isn't one, see `curvature`, is left out.

        Args:
            step: the step; its origin's gradient may be overwritten.
            point: where it led, with the gradient of now.
            next_length: the step length that follows without a line search; None with one.
        """
        origin, g = step.origin, point.gradient
        # With another batch the gradient here isn't the one at the step's end; a pair takes the
        # change between gradients of one loss.
        is_same = step.end is None or step.end.index == point.index
        # From numbers that came with the gradients: s'y by both slopes, y'y by the law of cosines.
        curvature = step.length * (g.slope - origin.slope)
        square = g.square - 2 * g.products[origin.index] + origin.gradient.square
        is_long = square >= MIN_CHANGE**2 * origin.gradient.square
        # `push_pair` subtracts the products with the gradient before, so they have to be there.
        if not (is_same and is_long and (self.is_projected or not self.count)):
            self._update_carefully(step, point, next_length)
        elif self._is_acceptable(step, curvature, square, next_length):
            self.count = max(self.count, self.slot + 1)
            self.push_pair(step, point, curvature, square)
            self._advance(curvature, square)
        else:
            self.project(point)

    def push_pair(self, step: AcceptedStep, end: Trial, curvature: float, square: float) -> None:
        r"""Store a pair, and project the gradient at its end.

        Args:
            step: the step.
            end: where it led.
            curvature: :math:`s^\top y`.
            square: :math:`y^\top y`, large enough for products that are differences.
        """
        for block in self.space.blocks:
            block.store_pair(self.slot, step.length, end.index, step.origin.index)
        self.products, self.previous = self.previous, self.products
        self.project(end)
        torch.sub(self.products.all, self.previous.all, out=self.previous.all)
        # In this slot a product of the old pair was subtracted from one of the new.
        self.previous.s[self.slot] = curvature
        self.previous.y[self.slot] = square
        self.compact.push_pair(self.slot, self.previous, curvature)

    def _update_carefully(
        self, step: AcceptedStep, point: Trial, next_length: float | None
    ) -> None:
        """Do what `update` does with products of the change itself."""
        y, end = step.origin.index, step.end or point
        # Over the origin's gradient, which nobody reads again; there is no fourth vector for it.
        for block in self.space.blocks:
            torch.sub(block.gradient(end.index), block.gradient(y), out=block.gradient(y))
        # The direction is still the step's, so the slope measured here is d'y.
        change = self.space.measure(y, 0.0)
        curvature = step.length * change.slope
        if self._is_acceptable(step, curvature, change.square, next_length):
            self.count = max(self.count, self.slot + 1)
            for block in self.space.blocks:
                block.store_pair(self.slot, step.length, y, None)
            self.space.project(self.count, y, self.previous.all)
            self.compact.push_pair(self.slot, self.previous, curvature)
            self._advance(curvature, change.square)
        self.project(point)

    def _is_acceptable(
        self, step: AcceptedStep, curvature: float, square: float, next_length: float | None
    ) -> bool:
        along, precision = abs(step.length * step.origin.slope), self.space.precision
        if not (0 < square < math.inf and is_positive(curvature, along, precision)):
            return False
        if next_length is None:
            return True
        # s'Bs without a matrix: B s = -t g where d = -H g, and s's = t |s'g| where d = -g.
        expected = step.length * along if self.count else step.length * along * square / curvature
        return is_clear(curvature, along, precision, expected) or is_tolerable(
            curvature, along, next_length
        )

    def _advance(self, curvature: float, square: float) -> None:
        self.gamma = curvature / square
        self.slot = (self.slot + 1) % self.compact.capacity

    def direction(self, point: Trial, length: float = math.nan) -> Direction:
        """Make the direction for a point whose gradient `project` or `update` was told.

        Args:
            point: the point.
            length: the step length that will be tried first, so that the parameters may be put
                there at once; NaN if that isn't known.
        """
        if self.count:
            return self.quasi_newton(point, length)
        for block in self.space.blocks:
            block.descend(point.index)
        return Direction(-point.gradient.square)

    def quasi_newton(self, point: Trial, length: float) -> Direction:
        """Make the direction where there are pairs; see `direction`."""
        coefficients = self.compact.coefficients(self.products, self.gamma)
        for block in self.space.blocks:
            block.combine(self.count, coefficients, point.index, self.gamma)
        slope = torch.dot(coefficients, self.products.all).item()
        return Direction(slope - self.gamma * point.gradient.square)
