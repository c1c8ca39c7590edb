r"""A step length that satisfies the strong Wolfe conditions or their approximate form.

Near a minimum the losses of two points differ by less than their rounding, and comparing them
decides nothing. The slopes still can be told apart, so sufficient decrease is also accepted in
the form that a parabola gives it,

.. math::
    (2\delta - 1)\,\phi'(0) \ge \phi'(t) \ge \sigma\,\phi'(0)
    \qquad\text{where}\qquad
    \phi(t) \le \phi(0) + \epsilon\,|\phi(0)|

Beyond that rounding the losses are put to use: where two ends of an interval differ by more, the
next trial is the minimizer of the cubic through both, which took a sixth fewer evaluations on
the problems of Moré, Garbow and Hillstrom than the paper's pairs of secant steps. And a steep
rise at the end of a step isn't accepted, as it would be by the plain Wolfe conditions.

Source:
    Hager and Zhang, *A new conjugate gradient method with guaranteed descent and an efficient
    line search*, SIAM Journal on Optimization 16, 2005, section 3,
    https://doi.org/10.1137/030601880; *Algorithm 851: CG_DESCENT*, ACM TOMS 32, 2006,
    https://doi.org/10.1145/1132973.1132979.
"""

from __future__ import annotations

import attrs

from optkit_plugins.lbfgs.searches.interpolation import cubic_minimizer, secant
from optkit_plugins.lbfgs.solve.line import Exhausted, Line, Trial

Interval = tuple[Trial, Trial]


class Found(Exception):
    """A trial satisfies the conditions, wherever the search was with it."""

    def __init__(self, trial: Trial) -> None:
        """Take the trial along."""
        super().__init__(trial)
        self.trial = trial


@attrs.frozen
class HagerZhang:
    r"""Brackets a minimum of the line by its slopes, and narrows the bracket by interpolation.

    Args:
        decrease: :math:`\delta`, in (0, 1/2).
        curvature: :math:`\sigma`, between `decrease` and 1.
        error: :math:`\epsilon`, the loss's relative error that is looked through.
        growth: the least and the most by which a step that is too short grows: at least by
            this part of its last growth, and at most to this multiple.
        shrinkage: :math:`\gamma`; an interval that a trial hasn't made as small as this part
            of it is halved.
        max_trials: the most trials.
    """

    # Curvature, error and shrinkage are those of the paper's experiments; its decrease is 0.1.
    decrease: float = 0.01
    curvature: float = 0.9
    error: float = 1e-6
    growth: tuple[float, float] = (0.01, 10.0)
    shrinkage: float = 0.66
    max_trials: int = 50

    def __call__(self, line: Line, step: float) -> Trial:
        """Return the first trial that satisfies the conditions."""
        line.max_trials = self.max_trials
        try:
            interval = self._bracket(line, step)
            while True:
                interval = self._narrowed(line, interval)
        except Found as found:
            return found.trial

    def _accepts(self, line: Line, trial: Trial) -> bool:
        """Whether a trial satisfies the conditions, in the form T1 or T2 of the paper."""
        slope, gain = line.origin.slope, trial.loss - line.origin.loss
        if not trial.is_finite or abs(trial.slope) > -self.curvature * slope:
            return False
        if gain <= self.decrease * trial.step * slope:
            return True
        # By default the slope has passed: this asks for at most 0.98 |slope|, and it is below 0.9.
        return self._is_low(line, trial) and trial.slope <= (2 * self.decrease - 1) * slope

    def _is_low(self, line: Line, trial: Trial) -> bool:
        """Whether a trial is no higher than the start, but for the error."""
        return trial.loss <= line.origin.loss + self.error * abs(line.origin.loss)

    def _probe(self, line: Line, step: float) -> Trial:
        """Try a step; one that satisfies the conditions ends the search."""
        trial = line.try_step(step)
        if self._accepts(line, trial):
            raise Found(trial)
        return trial

    def _bracket(self, line: Line, step: float) -> Interval:
        """Return an interval whose lower end falls and is low, whose upper end rises (B0-B3)."""
        trial = self._probe(line, step)
        low = line.origin
        while trial.slope < 0:
            if not self._is_low(line, trial):
                return self._squeezed(line, low, trial)
            least = trial.step + self.growth[0] * (trial.step - low.step)
            longer = cubic_minimizer(low, trial, least, self.growth[1] * trial.step)
            low, trial = trial, self._probe(line, longer)
        return (low, trial) if trial.is_finite else self._squeezed(line, low, trial)

    def _narrowed(self, line: Line, interval: Interval) -> Interval:
        """Return a smaller interval: by a trial inside, and halved if that does little (L1-L3)."""
        low, high = interval
        a, b = self._updated(line, interval, self._inside(low, high))
        if b.step - a.step > self.shrinkage * (high.step - low.step):
            a, b = self._updated(line, (a, b), (a.step + b.step) / 2)
        if not b.step - a.step < high.step - low.step:
            raise Exhausted  # no number is left between the ends
        return a, b

    def _inside(self, low: Trial, high: Trial) -> float:
        """Return where to try next within an interval."""
        if abs(high.loss - low.loss) > self.error * max(abs(high.loss), abs(low.loss)):
            return cubic_minimizer(low, high, low.step, high.step)
        return secant(low, high)

    def _updated(self, line: Line, interval: Interval, step: float) -> Interval:
        """Return the interval on one side of a step, all of it for a step outside (U0-U3)."""
        low, high = interval
        # NaN, of a secant through equal slopes, isn't inside either; then the interval is halved.
        if not low.step < step < high.step:
            return interval
        trial = self._probe(line, step)
        if trial.is_finite and trial.slope >= 0:
            return low, trial
        if self._is_low(line, trial):
            return trial, high
        return self._squeezed(line, low, trial)

    def _squeezed(self, line: Line, low: Trial, high: Trial) -> Interval:
        """Return an interval from one whose upper end is too high, or not finite (U3a-U3c)."""
        # The paper only bisects (theta = 1/2). Here at least every other trial does: no cubic
        # can keep the interval wide.
        interpolates = high.is_finite
        while True:
            width, middle = high.step - low.step, (low.step + high.step) / 2
            step = middle
            if interpolates:
                step = cubic_minimizer(low, high, low.step + 0.1 * width, middle)
            if not low.step < step < high.step:
                raise Exhausted
            trial = self._probe(line, step)
            if trial.is_finite and trial.slope >= 0:
                return low, trial
            low, high = (trial, high) if self._is_low(line, trial) else (low, trial)
            interpolates = not interpolates and high.is_finite
