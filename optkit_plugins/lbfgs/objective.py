"""The function being minimized: what the closure returns and the gradients it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
import torch
from torch import Tensor

from optkit_core import OptkitError
from optkit_plugins.lbfgs.flat import Scalar, gradient_vector, move, restore, save
from optkit_plugins.lbfgs.line_search import Trial

Closure: TypeAlias = Callable[[], Any]


class ClosureError(OptkitError, TypeError):
    """There is no closure, or it returned something that isn't a loss."""


@attrs.frozen(eq=False)
class Point:
    r"""The loss :math:`f(x)` and the gradient :math:`\nabla f(x)` at the parameters' values."""

    loss: float
    gradient: Tensor


@attrs.define(eq=False)
class Objective:
    """The closure over its parameters, and how often it has been called."""

    closure: Closure
    params: Sequence[Tensor]
    evaluations: int = 0

    def measure(self) -> tuple[Any, Point]:
        """Call the closure once; return what it returned, and the point it describes."""
        with torch.enable_grad():
            returned = self.closure()
        self.evaluations += 1
        return returned, Point(_as_number(returned), gradient_vector(self.params))

    def evaluate(self) -> Point:
        """Call the closure once; return the point it describes."""
        return self.measure()[1]

    def along(self, direction: Tensor) -> Callable[[Scalar], Trial]:
        r"""Return :math:`t \mapsto f(x + t\,d)`, which leaves the parameters at :math:`x`.

        They are put back before an exception from the closure goes on, too.
        """
        start = save(self.params)

        def probe(step: Scalar) -> Trial:
            try:
                move(self.params, step, direction)
                point = self.evaluate()
            finally:
                restore(self.params, start)
            return Trial(step, point.loss, point.gradient.dot(direction), point.gradient)

        return probe


def _as_number(returned: Any) -> float:
    try:
        return float(returned)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ClosureError(
            "The closure of LBFGS must return the loss, a number or a tensor of one element, "
            f"got {returned!r}. End it with `return loss`."
        ) from error
