r"""A step length that satisfies the strong Wolfe conditions.

With :math:`\phi(t) = f(x + t\,d)` and :math:`0 < c_1 < c_2 < 1`, wanted is a :math:`t` with

.. math::
    \phi(t) \le \phi(0) + c_1\,t\,\phi'(0)
    \qquad\text{and}\qquad
    |\phi'(t)| \le c_2\,|\phi'(0)|

The search brackets such a step and narrows the bracket by cubic interpolation (Nocedal &
Wright, Numerical Optimization, 2nd edition, algorithms 3.5 and 3.6, equation 3.59).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
from torch import Tensor

from optkit_plugins.lbfgs.flat import Scalar

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9
SMALLEST_GROWTH, LARGEST_GROWTH = 0.01, 10.0
MARGIN = 0.1


@attrs.frozen(eq=False)
class Trial:
    r"""A step :math:`t` that was tried: :math:`\phi(t)`, :math:`\phi'(t)`, :math:`\nabla f`."""

    step: Scalar
    loss: float
    slope: Tensor
    gradient: Tensor


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
    def ends(self) -> tuple[Scalar, Scalar]:
        """The shorter and the longer step."""
        if self.first.step <= self.second.step:
            return self.first.step, self.second.step
        return self.second.step, self.first.step

    @property
    def width(self) -> Scalar:
        """The distance between the ends."""
        shorter, longer = self.ends
        return longer - shorter

    def with_ends(self, low: Trial, high: Trial) -> Bracket:
        """Return the bracket with `low` and `high` in the places of the old ones."""
        return Bracket(low, high) if self.low is self.first else Bracket(high, low)


@attrs.frozen(eq=False)
class Search:
    r"""The question: where along the line, starting at :math:`\phi(0)`, are the conditions met?"""

    probe: Callable[[Scalar], Trial]
    origin: Trial
    reach: Scalar
    tolerance: float
    max_trials: int

    def try_step(self, step: Scalar) -> Trial:
        """Evaluate one step; a loss or slope that isn't finite counts as infinitely high."""
        trial = self.probe(step)
        finite = math.isfinite(trial.loss) and math.isfinite(trial.slope)
        return trial if finite else attrs.evolve(trial, loss=math.inf)

    def too_high(self, trial: Trial) -> bool:
        """Whether the trial violates the first condition, sufficient decrease."""
        bound = self.origin.loss + SUFFICIENT_DECREASE * trial.step * self.origin.slope
        return bool(trial.loss > bound)

    def flat_enough(self, trial: Trial) -> bool:
        """Whether the trial fulfills the second condition, a much smaller slope."""
        return bool(abs(trial.slope) <= -CURVATURE * self.origin.slope)

    def too_narrow(self, bracket: Bracket) -> bool:
        r"""Whether the ends differ by less than the tolerance in every parameter.

        `reach` is :math:`\lVert d \rVert_\infty`, what a step of 1 changes at most.
        """
        return bool(bracket.width * self.reach < self.tolerance)


def strong_wolfe(search: Search, step: Scalar) -> Trial:
    """Return a trial that satisfies both conditions, or the best end of the last bracket.

    Args:
        search: the line, its start, and the limits.
        step: the first step to try.

    Returns:
        The accepted trial. After `search.max_trials` trials beyond the first it may be the
        origin itself, with a step of 0.
    """
    previous, trial = search.origin, search.try_step(step)
    for count in range(search.max_trials):
        # The first two trials aren't compared with their predecessors, as in torch.
        climbs = count > 1 and trial.loss >= previous.loss
        if search.too_high(trial) or climbs:
            return _zoom(search, Bracket(previous, trial), search.max_trials - count)
        if search.flat_enough(trial):
            return trial
        if trial.slope >= 0:
            return _zoom(search, Bracket(previous, trial), search.max_trials - count)
        previous, trial = trial, search.try_step(_longer(previous, trial))
    return Bracket(search.origin, trial).low


def _longer(previous: Trial, trial: Trial) -> Scalar:
    least = trial.step + SMALLEST_GROWTH * (trial.step - previous.step)
    return cubic_minimizer(previous, trial, least, LARGEST_GROWTH * trial.step)


def _zoom(search: Search, bracket: Bracket, trials: int) -> Trial:
    cramped = False
    for _ in range(trials):
        if search.too_narrow(bracket):
            break
        step, cramped = _inside(bracket, cramped)
        trial = search.try_step(step)
        low, high = bracket.low, bracket.high
        if search.too_high(trial) or trial.loss >= low.loss:
            bracket = bracket.with_ends(low, trial)
        elif search.flat_enough(trial):
            return trial
        else:
            beyond = trial.slope * (high.step - low.step) >= 0
            bracket = bracket.with_ends(trial, low if beyond else high)
    return bracket.low


def _inside(bracket: Bracket, cramped: bool) -> tuple[Scalar, bool]:
    """Return the next step, and whether it lies close to an end for the first time.

    Steps that keep falling next to an end hardly shrink the bracket; the second one in a
    row, or one at the very end, is moved inward.
    """
    left, right = bracket.ends
    step = cubic_minimizer(bracket.first, bracket.second, left, right)
    margin = MARGIN * (right - left)
    if right - step >= margin and step - left >= margin:
        return step, False
    if not (cramped or step >= right or step <= left):
        return step, True
    is_nearer_right = right - step < step - left
    return (right - margin if is_nearer_right else left + margin), False


def cubic_minimizer(a: Trial, b: Trial, least: Scalar, most: Scalar) -> Scalar:
    r"""Return where the cubic through two trials is lowest, kept within `least` and `most`.

    .. math::
        d_1 = \phi_a' + \phi_b' - 3\,\frac{\phi_a - \phi_b}{a - b}, \qquad
        d_2 = \sqrt{d_1^2 - \phi_a'\,\phi_b'}, \qquad
        t = b - (b - a)\,\frac{\phi_b' + d_2 - d_1}{\phi_b' - \phi_a' + 2 d_2}
        \quad (a < b)

    A cubic without a minimum, or one with infinite values, gives the middle of the limits.
    """
    if a.step > b.step:
        a, b = b, a
    span = b.step - a.step
    if span == 0:
        return (least + most) / 2.0
    d1 = a.slope + b.slope - 3 * (b.loss - a.loss) / span
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return (least + most) / 2.0
    d2 = square.sqrt()
    step = b.step - span * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return _clamped(step, least, most)


def _clamped(step: Scalar, least: Scalar, most: Scalar) -> Scalar:
    if step < least:
        return least
    return most if step > most else step
