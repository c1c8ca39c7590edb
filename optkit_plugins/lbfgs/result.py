"""What happened in a step, and why it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

REASONS = {
    "gradient": "no element of the gradient is larger than tolerance_grad",
    "loss_change": "the loss changes by less than tolerance_change",
    "step_size": "no parameter changes by more than tolerance_change",
    "max_iter": "max_iter iterations were made",
    "max_eval": "the closure was called max_eval times",
    "line_search": "no step along the gradient was found that lowers the loss",
    "non_finite": "the loss or the gradient isn't finite",
    "callback": "the callback said so",
}


@attrs.frozen(kw_only=True)
class Result:
    """How a step of L-BFGS went; ``optimizer.result`` after it.

    Args:
        reason: why it ended: ``"gradient"``, ``"loss_change"``, ``"step_size"``,
            ``"max_iter"``, ``"max_eval"``, ``"line_search"``, ``"non_finite"`` or
            ``"callback"``.
        first_loss: what the closure returned when it was called first.
        loss: the loss where the parameters are; None if the last iterate wasn't evaluated, which
            is how a step without a line search ends at `max_iter`.
        gradient: the largest element of the gradient there, None with the loss.
        iterations: the number of accepted steps.
        evaluations: how often the closure was called.
        steps: the step length of each iteration.
    """

    reason: str
    first_loss: float
    loss: float | None
    gradient: float | None
    iterations: int
    evaluations: int
    steps: tuple[float, ...]

    @property
    def success(self) -> bool:
        """Whether a minimum was found, by the gradient; nothing else proves one."""
        return self.reason == "gradient"

    @property
    def message(self) -> str:
        """The reason in words."""
        return REASONS[self.reason]


@attrs.frozen(kw_only=True)
class Progress:
    """What a callback is told after each iteration.

    Args:
        iteration: counts from 1 in each step.
        evaluations: how often the closure has been called in this step.
        loss: the loss where the parameters are, None if it hasn't been evaluated.
        gradient: the largest element of the gradient there.
        step: the step length.
    """

    iteration: int
    evaluations: int
    loss: float | None
    gradient: float | None
    step: float


Callback: TypeAlias = Callable[[Progress], Any]
"""Called after each iteration; the step ends if it returns something true."""
