r"""A step length that satisfies the strong Wolfe conditions, found as torch.optim.LBFGS does.

With :math:`\phi(t) = f(x + t\,d)` and :math:`0 < c_1 < c_2 < 1`, wanted is a :math:`t` with

.. math::
    \phi(t) \le \phi(0) + c_1\,t\,\phi'(0)
    \qquad\text{and}\qquad
    |\phi'(t)| \le c_2\,|\phi'(0)|

The search brackets such a step and narrows the bracket by cubic interpolation (Nocedal &
Wright, Numerical Optimization, 2nd edition, algorithms 3.5 and 3.6).
"""

from __future__ import annotations

import attrs

from optkit_plugins.lbfgs.searches.interpolation import cubic_minimizer
from optkit_plugins.lbfgs.solve.line import Line, Trial


@attrs.frozen(eq=False)
class Bracket:
    """Two trials with an acceptable step between them, in the order they came to be ends."""

    first: Trial
    second: Trial

    @property
    def low(self) -> Trial:
        """The end with the lower loss."""
        return self.first if self.first.loss <= self.second.loss else self.second

    @property
    def high(self) -> Trial:
        """The other end."""
        return self.second if self.low is self.first else self.first

    @property
    def width(self) -> float:
        """The distance between the ends."""
        return abs(self.first.step - self.second.step)

    def with_ends(self, low: Trial, high: Trial) -> Bracket:
        """Return the bracket with its ends replaced, in the order that they have."""
        return Bracket(low, high) if self.low is self.first else Bracket(high, low)


@attrs.frozen
class StrongWolfe:
    """The search of torch.optim.LBFGS, by the same constants.

    Args:
        decrease: :math:`c_1` of sufficient decrease, between 0 and `curvature`.
        curvature: :math:`c_2` of the curvature condition, between `decrease` and 1.
        growth: the least and the most by which a step that is too short grows: at least by
            this part of its last growth, and at most to this multiple.
        margin: how close to an end of the bracket a trial may lie, as part of its width.
        max_trials: the most trials.
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    growth: tuple[float, float] = (0.01, 10.0)
    margin: float = 0.1
    # torch's default as well, but its step() passes what is left of max_eval instead.
    max_trials: int = 25

    def __call__(self, line: Line, step: float) -> Trial:
        """Return a trial that satisfies both conditions, or the best end of a tiny bracket."""
        line.max_trials = self.max_trials
        trial = line.try_step(step)
        previous, count = line.origin, 0
        while True:
            # The first two trials aren't compared with their predecessors, as in torch.
            climbs = count > 1 and trial.loss >= previous.loss
            if not self._has_decreased(line, trial) or climbs:
                break
            if self._is_flat(line, trial):
                return trial
            if trial.slope >= 0:
                break
            previous, trial = trial, line.try_step(self._longer(previous, trial))
            count += 1
        return self._zoom(line, Bracket(previous, trial))

    def _has_decreased(self, line: Line, trial: Trial) -> bool:
        """Whether there is sufficient decrease, equation 3.7a."""
        return trial.loss <= line.origin.loss + self.decrease * trial.step * line.origin.slope

    def _is_flat(self, line: Line, trial: Trial) -> bool:
        """Whether the curvature condition holds in its strong form, equation 3.7b."""
        return abs(trial.slope) <= -self.curvature * line.origin.slope

    def _longer(self, previous: Trial, trial: Trial) -> float:
        """Return the step to try after one that is too short."""
        least = trial.step + self.growth[0] * (trial.step - previous.step)
        return cubic_minimizer(previous, trial, least, self.growth[1] * trial.step)

    def _zoom(self, line: Line, bracket: Bracket) -> Trial:
        """Return a trial within the bracket that satisfies both conditions, by algorithm 3.6.

        Args:
            line: the line.
            bracket: it holds such a step.
        """
        cramped = False
        # A tolerance of 0 or less never ends this; the width does, where both ends are one point.
        while bracket.width * line.direction_norm >= line.tolerance and bracket.width > 0:
            step, cramped = self._inside(bracket, cramped)
            trial = line.try_step(step)
            low, high = bracket.low, bracket.high
            if not self._has_decreased(line, trial) or trial.loss >= low.loss:
                bracket = bracket.with_ends(low, trial)
            elif self._is_flat(line, trial):
                return trial
            else:
                beyond = trial.slope * (high.step - low.step) >= 0
                bracket = bracket.with_ends(trial, low if beyond else high)
        return bracket.low

    def _inside(self, bracket: Bracket, cramped: bool) -> tuple[float, bool]:
        """Return the next step, and whether it lies close to an end for the first time.

        Steps that keep falling next to an end hardly shrink the bracket; the second one in a
        row, or one at the very end, is moved inward.
        """
        left, right = sorted((bracket.first.step, bracket.second.step))
        step = cubic_minimizer(bracket.first, bracket.second, left, right)
        margin = self.margin * (right - left)
        if right - step >= margin and step - left >= margin:
            return step, False
        if not (cramped or step >= right or step <= left):
            return step, True
        is_nearer_right = right - step < step - left
        return (right - margin if is_nearer_right else left + margin), False
