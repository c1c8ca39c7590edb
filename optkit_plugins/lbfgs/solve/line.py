r"""A line through the parameters' space, :math:`\phi(t) = f(x + t\,d)`, and trials along it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import attrs

from optkit_plugins.lbfgs.solve.objective import Objective
from optkit_plugins.lbfgs.vectors.gradient_info import GradientInfo, free_index
from optkit_plugins.lbfgs.vectors.space import Space


class Exhausted(Exception):
    """The trials of a line search, or the evaluations of a step, are used up."""


class NotDownhill(Exception):
    """The loss doesn't fall along the line, where the direction promised that it would."""


@attrs.frozen(eq=False)
class Trial:
    r"""A step length :math:`t` that was tried, with what was found there.

    Args:
        step: :math:`t`.
        loss: :math:`\phi(t)`; infinite where the loss or the gradient isn't finite.
        slope: :math:`\phi'(t)`; infinite there as well.
        gradient: what is known of the gradient.
        index: which of the gradients that are held it is.
    """

    step: float
    loss: float
    slope: float
    gradient: GradientInfo
    index: int

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are finite; otherwise the step was too long."""
        return self.loss < math.inf


@attrs.define(eq=False)
class Line:
    r"""What a line search is given: where the line begins, and a way to try steps along it.

    Args:
        space: the space; the direction is in it.
        objective: the function.
        origin: :math:`t = 0`; where `direction_norm` isn't known, with the slope that the
            direction was made to have, and the first trial measures it.
        tolerance: a change of every parameter by less than this is none.
        direction_norm: :math:`\lVert d \rVert_\infty`, NaN until the first trial measures it.
        trials: how many there have been.
        max_trials: how many there may be; None until a line search says.
        best: the finite trial with the lowest loss.
        latest: the latest trial; the parameters are there.
    """

    space: Space
    objective: Objective
    origin: Trial
    tolerance: float
    direction_norm: float = math.nan
    trials: int = 0
    max_trials: int | None = None
    best: Trial | None = None
    latest: Trial | None = None

    def try_step(self, step: float) -> Trial:
        """Put the parameters at a step, and evaluate the loss and the gradient there.

        Raises:
            Exhausted: there may be no further trial.
            NotDownhill: the first trial has shown that the loss doesn't fall from the start.
        """
        if self.objective.is_spent or self.trials == self.max_trials:
            raise Exhausted
        self.trials += 1
        # Should the closure raise, the parameters are at no trial.
        self.latest = None
        self.space.move(step)
        index = free_index(self.origin.index, self.best.index if self.best else None)
        # Asked before `evaluate` measures it. Where a compiled pass has, `Minimization.direction`
        # has seen the true slope already.
        is_first = math.isnan(self.direction_norm)
        gradient = self.evaluate(index)
        # Finite gradients can have an infinite slope along a long direction.
        if gradient.is_finite and math.isfinite(gradient.slope):
            trial = Trial(step, gradient.loss, gradient.slope, gradient, index)
        else:
            trial = Trial(step, math.inf, math.inf, gradient, index)
        self.latest = trial
        if trial.is_finite and (self.best is None or trial.loss < self.best.loss):
            self.best = trial
        if is_first and not self.origin.slope < 0:
            raise NotDownhill
        return trial

    def evaluate(self, index: int) -> GradientInfo:
        """Call the closure, and the first time measure the slope at the origin and the direction.

        Args:
            index: which of the gradients that are held the new one becomes.
        """
        origin, space, loss = self.origin, self.space, self.objective.call()
        if not math.isnan(self.direction_norm):
            return space.receive(index, loss, None, origin.index)
        gradient = space.receive(
            index, loss, lambda block: block.measure_direction(origin.index), origin.index
        )
        self.direction_norm = gradient.direction_norm
        self.origin = Trial(0.0, origin.loss, gradient.origin_slope, origin.gradient, origin.index)
        return gradient


LineSearch: TypeAlias = Callable[[Line, float], Trial]
"""Called with a line and the first step to try; returns the trial to accept."""
