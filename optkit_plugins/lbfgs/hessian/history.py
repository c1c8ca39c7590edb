"""The history: what the last few steps did to the gradient, and the direction that follows."""

from __future__ import annotations

import math

import attrs
import torch

from optkit_plugins.lbfgs.hessian.compact import Compact, Products
from optkit_plugins.lbfgs.hessian.curvature import is_clear, is_positive, is_tolerable
from optkit_plugins.lbfgs.solve.line import Trial
from optkit_plugins.lbfgs.vectors.space import Space

LEAST_CHANGE = 0.1
"""A change of the gradient that is shorter than this part of it is multiplied anew.

Otherwise its products are differences of products that are known, which saves a pass over the
memory and costs as many digits as the gradient is longer than its change.
"""


@attrs.frozen(eq=False)
class Move:
    """A step that was made, and isn't remembered yet.

    Args:
        origin: where it began.
        step: how far along the direction it led.
        last: where it led, None if nobody has looked.
    """

    origin: Trial
    step: float
    last: Trial | None


@attrs.frozen(eq=False)
class Aim:
    r"""What is known of a direction.

    Args:
        slope: the slope at its start, :math:`g^\top d`.
        reach: the largest change of a parameter by a step of 1; NaN while nobody has looked,
            and then the slope too is only what the direction was made to have.
    """

    slope: float
    reach: float = math.nan


@attrs.define(eq=False)
class History:
    r"""The remembered pairs and the small matrices that belong to them.

    Args:
        space: holds the rows.
        compact: the small matrices.
        products: the products of the rows with the gradient that the direction starts from.
        before: the products with the gradient before that one.
        is_known: whether `products` belong to the rows and the gradient of now.
        count: the number of pairs.
        slot: where the next pair goes.
        gamma: the scale :math:`\gamma` of :math:`H_0 = \gamma I`.
        curvatures: :math:`s_i^\top y_i` of each slot.
    """

    space: Space
    compact: Compact
    products: Products
    before: Products
    is_known: bool = False
    count: int = 0
    slot: int = 0
    gamma: float = 1.0
    curvatures: dict[int, float] = attrs.Factory(dict)

    @classmethod
    def empty(cls, space: Space, room: int) -> History:
        """Return a history without pairs, with room for some."""
        products, before = torch.zeros(2, 2 * room, dtype=torch.float64, device="cpu")
        return cls(space, Compact.empty(room), Products(products), Products(before))

    @property
    def room(self) -> int:
        """The number of pairs there is room for."""
        return self.compact.room

    def clear(self) -> None:
        """Forget all pairs."""
        self.compact.clear()
        self.products.all.zero_()
        self.is_known, self.count, self.slot, self.gamma = False, 0, 0, 1.0

    def look(self, here: Trial) -> None:
        """Take in where the next direction starts."""
        self.space.look(self.count, here.slot, self.products.all)
        self.is_known = True

    def remember(self, move: Move, here: Trial, unchecked: float | None = None) -> None:
        r"""Take in a move as a pair :math:`(s, y)`, and where the next direction starts.

        A pair whose curvature :math:`s^\top y` isn't one, see `curvature`, is left out.

        Args:
            move: the move; its origin's gradient may be overwritten.
            here: where it led, with the gradient of now.
            unchecked: the step length that follows without a line search; None where one looks.
        """
        origin, g = move.origin, here.reading
        is_same = move.last is None or move.last.slot == here.slot
        curvature = move.step * (g.slope - origin.slope)
        square = g.square - 2 * g.products[origin.slot] + origin.reading.square
        is_long = square >= LEAST_CHANGE**2 * origin.reading.square
        if not (is_same and is_long and (self.is_known or not self.count)):
            self._remember_carefully(move, here, unchecked)
            return
        if not self._is_sound(move, curvature, square, unchecked):
            self.look(here)
            return
        self.count = max(self.count, self.slot + 1)
        self._take_in(move, here, curvature, square)
        self._turn(curvature, square)

    def _take_in(self, move: Move, here: Trial, curvature: float, square: float) -> None:
        """Store a pair whose change is long enough, with its products."""
        origin = move.origin
        for block in self.space.blocks:
            block.store(self.slot, move.step, here.slot, origin.slot)
        self.products, self.before = self.before, self.products
        self.look(here)
        torch.sub(self.products.all, self.before.all, out=self.before.all)
        self.before.steps[self.slot] = curvature
        self.before.changes[self.slot] = square
        self.compact.put(self.slot, self.before, curvature)

    def _remember_carefully(self, move: Move, here: Trial, unchecked: float | None) -> None:
        """Do what `remember` does with products of the change itself."""
        y, last = move.origin.slot, move.last or here
        for block in self.space.blocks:
            torch.sub(block.gradient(last.slot), block.gradient(y), out=block.gradient(y))
        change = self.space.read(y, 0.0)
        curvature = move.step * change.slope
        if self._is_sound(move, curvature, change.square, unchecked):
            self.count = max(self.count, self.slot + 1)
            for block in self.space.blocks:
                block.store(self.slot, move.step, y, None)
            self.space.look(self.count, y, self.before.all)
            self.compact.put(self.slot, self.before, curvature)
            self._turn(curvature, change.square)
        self.look(here)

    def _is_sound(
        self, move: Move, curvature: float, square: float, unchecked: float | None
    ) -> bool:
        along, precision = abs(move.step * move.origin.slope), self.space.precision
        if not (0 < square < math.inf and is_positive(curvature, along, precision)):
            return False
        if unchecked is None:
            return True
        expected = move.step * along if self.count else move.step * along * square / curvature
        is_doubtful = not is_clear(curvature, along, precision, expected)
        return not is_doubtful or is_tolerable(curvature, along, unchecked)

    def _turn(self, curvature: float, square: float) -> None:
        self.gamma = curvature / square
        self.curvatures[self.slot] = curvature
        self.slot = (self.slot + 1) % self.room

    def aim(self, here: Trial, step: float = math.nan) -> Aim:
        """Make the direction for a point that `look` or `remember` was told.

        Args:
            here: the point.
            step: what will be tried first, so that the parameters may be put there at once.
        """
        if self.count:
            return self._quasi_newton(here, step)
        for block in self.space.blocks:
            torch.neg(block.gradient(here.slot), out=block.direction)
        return Aim(-here.reading.square)

    def _quasi_newton(self, here: Trial, step: float) -> Aim:
        coefficients = self.compact.solve(self.products, self.gamma)
        for block in self.space.blocks:
            block.combine(self.count, coefficients, here.slot, self.gamma)
        along = torch.dot(coefficients, self.products.all).item()
        return Aim(along - self.gamma * here.reading.square)
