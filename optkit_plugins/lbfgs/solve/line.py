r"""A line through the parameters' space, :math:`\phi(t) = f(x + t\,d)`, and trials along it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import attrs
import torch

from optkit_plugins.lbfgs.solve.objective import Objective
from optkit_plugins.lbfgs.vectors.block import EXTRA, Block, free_slot
from optkit_plugins.lbfgs.vectors.space import Asked, Reading, Space, nothing


class Exhausted(Exception):
    """The trials of a line search, or the evaluations of a step, are used up."""


class NotDownhill(Exception):
    """The loss doesn't fall along the line, where the direction promised that it would."""


@attrs.frozen(eq=False)
class Trial:
    r"""A step :math:`t` that was tried, with what was found there.

    Args:
        step: :math:`t`.
        loss: :math:`\phi(t)`; infinite where the loss or the gradient isn't finite.
        slope: :math:`\phi'(t)`; infinite there as well.
        reading: what is known of the gradient.
        slot: where the gradient was put.
    """

    step: float
    loss: float
    slope: float
    reading: Reading
    slot: int

    @property
    def is_finite(self) -> bool:
        """Whether one can reckon with the trial; otherwise the step was too long."""
        return self.loss < math.inf


@attrs.define(eq=False)
class Line:
    r"""What a line search is given: a start, and trials for the asking.

    Args:
        space: the space; the direction is in it.
        objective: the function.
        origin: :math:`t = 0`; where `reach` isn't known, with the slope that the direction was
            made to have, and the first trial measures it.
        tolerance: a change of every parameter by less than this is none.
        reach: :math:`\lVert d \rVert_\infty`, known from the first trial on at least.
        trials: how many there have been.
        max_trials: how many there may be; None until a line search says.
        best: the finite trial with the lowest loss.
        latest: the latest trial; the parameters are there.
    """

    space: Space
    objective: Objective
    origin: Trial
    tolerance: float
    reach: float = math.nan
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
        slot = free_slot(self.origin.slot, self.best.slot if self.best else None)
        self.latest = None
        for block in self.space.blocks:
            block.move(step)
        is_known = not math.isnan(self.reach)
        asked = nothing if is_known else asked_first(self.origin.slot)
        reading = self.objective.measure(self.space, slot, asked, self.origin.slot)
        if reading.is_finite and math.isfinite(reading.slope):
            trial = Trial(step, reading.loss, reading.slope, reading, slot)
        else:
            trial = Trial(step, math.inf, math.inf, reading, slot)
        self.latest = trial
        if trial.is_finite and (self.best is None or trial.loss < self.best.loss):
            self.best = trial
        if not is_known:
            self._learn(reading)
        return trial

    def holds(self, trial: Trial) -> bool:
        """Return whether the gradient of a trial is still where it was put."""
        return trial in (self.origin, self.best, self.latest)

    def again(self, trial: Trial) -> Trial:
        """Evaluate a trial again whose gradient has been overwritten since.

        Raises:
            Exhausted: there may be no further evaluation.
        """
        self.max_trials = None
        return self.try_step(trial.step)

    def shorter(self) -> float | None:
        """Return where the search could go on some other time."""
        return None if self.latest is None else self.latest.step / 2

    def _learn(self, reading: Reading) -> None:
        self.reach = self.space.reach(reading, 1)
        slope = reading.total(0)
        if not slope < 0:
            raise NotDownhill
        origin = self.origin
        self.origin = Trial(0.0, origin.loss, slope, origin.reading, origin.slot)


def asked_first(origin: int) -> Asked:
    """Return what asks for the slope where a line starts, and for the direction's length.

    Args:
        origin: the slot of the gradient there.
    """

    def asked(block: Block) -> None:
        block.places[EXTRA].copy_(torch.dot(block.gradient(origin), block.direction))
        block.places[EXTRA + 1].copy_(torch.linalg.vector_norm(block.direction, torch.inf))

    return asked


LineSearch: TypeAlias = Callable[[Line, float], Trial]
"""Called with a line and the first step to try; returns the trial to accept."""
