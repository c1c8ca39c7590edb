"""The quasi-Newton direction, from the last few steps and what they did to the gradient."""

from __future__ import annotations

import attrs
from torch import Tensor

from optkit_plugins.lbfgs.flat import Scalar

SMALLEST_CURVATURE = 1e-10


@attrs.frozen(eq=False)
class Pair:
    r"""One remembered step: :math:`s`, :math:`y` and :math:`\rho = 1 / y^\top s`."""

    s: Tensor
    y: Tensor
    rho: Scalar


@attrs.frozen(eq=False)
class History:
    r"""The remembered pairs, oldest first, and the scale :math:`\gamma` of :math:`H_0 = \gamma I`.

    Functional: `remember` returns another history, so that whoever holds this one can go
    back to it when a step fails.
    """

    pairs: tuple[Pair, ...] = ()
    gamma: Scalar = 1

    def remember(self, s: Tensor, y: Tensor, size: int) -> History:
        r"""Return the history with :math:`(s, y)` added and at most `size` pairs kept.

        The newest pair sets :math:`\gamma = s^\top y / y^\top y` (Nocedal & Wright 7.20).
        A pair with :math:`y^\top s` not clearly positive would spoil the positive
        definiteness of :math:`H`, and is left out.
        """
        curvature = y.dot(s)
        if not curvature > SMALLEST_CURVATURE:
            return self
        newest = Pair(s, y, 1.0 / curvature)
        return History((*self.pairs, newest)[-size:], curvature / y.dot(y))

    def descent(self, gradient: Tensor) -> tuple[Tensor, list[Tensor]]:
        r"""Return :math:`d = -H\,g` and the first loop's :math:`\alpha_i`, oldest first.

        The two-loop recursion (Nocedal & Wright, algorithm 7.4): without ever forming
        :math:`H`, it costs four vector operations for each remembered pair.
        """
        direction = gradient.neg()
        alphas: list[Tensor] = []
        for pair in reversed(self.pairs):
            alpha = pair.s.dot(direction) * pair.rho
            direction.sub_(pair.y, alpha=float(alpha))
            alphas.append(alpha)
        alphas.reverse()
        direction.mul_(self.gamma)
        for pair, alpha in zip(self.pairs, alphas, strict=True):
            beta = pair.y.dot(direction) * pair.rho
            direction.add_(pair.s, alpha=float(alpha - beta))
        return direction, alphas
