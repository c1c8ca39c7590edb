r"""A step length by the search of Moré and Thuente, which MINPACK and L-BFGS-B use.

It ends at a step that satisfies the strong Wolfe conditions; until the loss has fallen enough
it works on :math:`\psi(t) = \phi(t) - \phi(0) - c_1\,t\,\phi'(0)` instead of :math:`\phi`.

Source:
    Moré and Thuente, *Line search algorithms with guaranteed sufficient decrease*, ACM TOMS 20,
    1994, https://doi.org/10.1145/192115.192132.
"""

from __future__ import annotations

import math

import attrs

from optkit_plugins.lbfgs.searches.interpolation import clamped
from optkit_plugins.lbfgs.solve.line import Exhausted, Line, Trial

SHRINKAGE = 0.66
r"""The :math:`\delta` of section 4, by which two trials have to narrow the interval."""


@attrs.frozen(eq=False)
class Endpoint:
    """An end of the interval: a step, and value and slope of the function worked on."""

    step: float
    value: float
    slope: float


@attrs.define(eq=False)
class UncertaintyInterval:
    """The best step so far, the other end, and whether a minimum lies between them."""

    best: Endpoint
    other: Endpoint
    is_bracket: bool = False


@attrs.frozen
class MoreThuente:
    """Updates an interval of uncertainty by safeguarded cubic and quadratic steps.

    Args:
        decrease: :math:`c_1`, between 0 and `curvature`.
        curvature: :math:`c_2`, between `decrease` and 1.
        width: an interval narrower than this part of its upper end ends the search.
        growth: the least and the most growth beyond the best step, in parts of the last one.
        max_trials: the most trials.
    """

    # Decrease and curvature are those of L-BFGS-B, the growth that of MINPACK-2's dcsrch.
    decrease: float = 1e-3
    curvature: float = 0.9
    # Neighboring floats are 1.1e-16 of their size apart at least: only equal ends are so close.
    width: float = 1e-16
    growth: tuple[float, float] = (1.1, 4.0)
    max_trials: int = 30

    def __call__(self, line: Line, step: float) -> Trial:
        """Return a trial that satisfies the strong Wolfe conditions."""
        line.max_trials = self.max_trials
        trial, most = self._finite(line, 0.0, step, math.inf)
        zero = Endpoint(0.0, line.origin.loss, line.origin.slope)
        interval, is_first_stage = UncertaintyInterval(zero, zero), True
        # Infinite, so that the first two intervals aren't halved for having hardly shrunk.
        widths = math.inf, math.inf
        while not self._accepts(line, trial):
            bound = self.decrease * line.origin.slope
            falls = trial.loss <= line.origin.loss + trial.step * bound
            is_first_stage = is_first_stage and not (falls and trial.slope >= 0)
            # Lower than the start, but not by enough; dcsrch compares with the best step here.
            tilt = bound if is_first_stage and not falls and trial.loss <= line.origin.loss else 0.0
            step = self._next_step(interval, trial, tilt, most)
            step, widths = self._halved(interval, step, widths)
            trial, most = self._finite(line, interval.best.step, step, most)
            if trial.step in (interval.best.step, interval.other.step):
                raise Exhausted  # no number is left between the ends
        return trial

    def _accepts(self, line: Line, trial: Trial) -> bool:
        """Whether a trial satisfies the strong Wolfe conditions."""
        origin = line.origin
        falls = trial.loss <= origin.loss + self.decrease * trial.step * origin.slope
        return falls and abs(trial.slope) <= -self.curvature * origin.slope

    def _finite(self, line: Line, low: float, step: float, most: float) -> tuple[Trial, float]:
        """Return a finite trial, nearer to `low` if need be, and the largest step allowed."""
        trial = line.try_step(step)
        while not trial.is_finite:
            most = trial.step
            trial = line.try_step(low + 0.5 * (most - low))
        return trial, most

    def _next_step(
        self, interval: UncertaintyInterval, trial: Trial, tilt: float, most: float
    ) -> float:
        """Take a trial into the interval; return the step to try next.

        Args:
            interval: what it updates.
            trial: the latest one.
            tilt: the slope that is taken out of the function, 0 in the second stage.
            most: steps from here on aren't finite.
        """
        best, other = (_tilted(end, tilt) for end in (interval.best, interval.other))
        new = _tilted(Endpoint(trial.step, trial.loss, trial.slope), tilt)
        if interval.is_bracket:
            least, limit = sorted((best.step, other.step))
        else:
            least, limit = (new.step + factor * (new.step - best.step) for factor in self.growth)
            limit = min(limit, (new.step + most) / 2)
            least = min(least, limit)
        step, is_bracket = _safeguarded(best, other, new, interval.is_bracket, (least, limit))
        if new.value > best.value:
            other = new
        else:
            # Updates U2 and U3: where the new slope points away from the best end, the minimum is
            # between the two.
            other = best if new.slope * (best.step - new.step) < 0 else other
            best = new
        interval.best, interval.other = (_tilted(end, -tilt) for end in (best, other))
        interval.is_bracket = is_bracket
        return step

    def _halved(
        self, interval: UncertaintyInterval, step: float, widths: tuple[float, float]
    ) -> tuple[float, tuple[float, float]]:
        """Return the step, or the middle of an interval that two trials have hardly narrowed."""
        if not interval.is_bracket:
            return step, widths
        best, other = interval.best.step, interval.other.step
        least, most = sorted((best, other))
        if most - least <= self.width * most:
            raise Exhausted
        if abs(other - best) >= SHRINKAGE * widths[1]:
            step = best + 0.5 * (other - best)
        if not least < step < most:
            step = best + 0.5 * (other - best)
        return step, (abs(other - best), widths[0])


def _tilted(end: Endpoint, tilt: float) -> Endpoint:
    return Endpoint(end.step, end.value - tilt * end.step, end.slope - tilt) if tilt else end


def _safeguarded(
    best: Endpoint, other: Endpoint, new: Endpoint, is_bracket: bool, limits: tuple[float, float]
) -> tuple[float, bool]:
    """Return the next step, by the four cases of section 4, and whether there is a bracket."""
    # Case 1: a higher value. The minimum is between; of the parabola only the middle is trusted.
    if new.value > best.value:
        cubic, quadratic = _cubic(best, new), _parabola(best, new)
        if abs(cubic - best.step) < abs(quadratic - best.step):
            return cubic, True
        return cubic + (quadratic - cubic) / 2, True
    # Case 2: slopes of opposite sign. Case 3: a flatter slope. Case 4: one at least as steep.
    secant = _secant(best, new)
    if new.slope * best.slope < 0:
        cubic = _cubic(best, new)
        return (cubic if abs(cubic - new.step) > abs(secant - new.step) else secant), True
    if abs(new.slope) < abs(best.slope):
        return _decreasing_slope(best, other, new, is_bracket, limits, secant), is_bracket
    if is_bracket:
        return _cubic(other, new), True
    return limits[1] if new.step > best.step else limits[0], False


def _decreasing_slope(
    best: Endpoint,
    other: Endpoint,
    new: Endpoint,
    is_bracket: bool,
    limits: tuple[float, float],
    secant: float,
) -> float:
    cubic = _cubic(best, new)
    goes_on = (cubic - new.step) * (new.step - best.step) > 0
    if not goes_on:
        cubic = limits[1] if new.step > best.step else limits[0]
    if not is_bracket:
        step = cubic if abs(cubic - new.step) > abs(secant - new.step) else secant
        return clamped(step, *limits)
    step = cubic if abs(cubic - new.step) < abs(secant - new.step) else secant
    bound = new.step + SHRINKAGE * (other.step - new.step)
    return min(bound, step) if new.step > best.step else max(bound, step)


def _cubic(a: Endpoint, b: Endpoint) -> float:
    """Return where the cubic through two ends is lowest, or the middle if it has no minimum."""
    span = b.step - a.step
    theta = 3 * (a.value - b.value) / span + a.slope + b.slope
    square = theta * theta - a.slope * b.slope
    gamma = math.copysign(math.sqrt(max(square, 0.0)), span)
    divisor = b.slope - a.slope + 2 * gamma
    return b.step - span * (b.slope + gamma - theta) / divisor if divisor else a.step + span / 2


def _parabola(a: Endpoint, b: Endpoint) -> float:
    """Return where the parabola by both values and the slope at `a` is lowest."""
    span = b.step - a.step
    return a.step + a.slope / ((a.value - b.value) / span + a.slope) / 2 * span


def _secant(a: Endpoint, b: Endpoint) -> float:
    rise = b.slope - a.slope
    return b.step - b.slope * (b.step - a.step) / rise if rise else a.step
