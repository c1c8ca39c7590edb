"""Where a curve through two trials is lowest."""

from __future__ import annotations

import math

from optkit_plugins.lbfgs.solve.line import Trial


def cubic_minimizer(a: Trial, b: Trial, least: float, most: float) -> float:
    r"""Return where the cubic through two trials is lowest, kept within `least` and `most`.

    .. math::
        d_1 = \phi_a' + \phi_b' - 3\,\frac{\phi_a - \phi_b}{a - b}, \qquad
        d_2 = \sqrt{d_1^2 - \phi_a'\,\phi_b'}, \qquad
        t = b - (b - a)\,\frac{\phi_b' + d_2 - d_1}{\phi_b' - \phi_a' + 2 d_2}
        \quad (a < b)

    A cubic without a minimum, or one with infinite values, gives the middle of the limits.

    Args:
        a: a trial.
        b: another one.
        least: the shortest step to return.
        most: the longest.

    Source:
        Nocedal and Wright, *Numerical Optimization*, 2nd edition, 2006, equation 3.59.
    """
    if a.step > b.step:
        a, b = b, a
    span = b.step - a.step
    middle = (least + most) / 2.0
    if span == 0 or not (a.is_finite and b.is_finite):
        return middle
    d1 = a.slope + b.slope - 3 * (b.loss - a.loss) / span
    # A product: `d1**2` raises OverflowError where this becomes infinite.
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return middle
    d2 = math.sqrt(square)
    divisor = b.slope - a.slope + 2 * d2
    if divisor == 0:
        return middle
    step = b.step - span * ((b.slope + d2 - d1) / divisor)
    return clamped(step, least, most) if math.isfinite(step) else middle


def secant(a: Trial, b: Trial) -> float:
    """Return where the line through two slopes is zero; NaN where they are equal."""
    rise = b.slope - a.slope
    return (a.step * b.slope - b.step * a.slope) / rise if rise else math.nan


def clamped(step: float, least: float, most: float) -> float:
    """Return `step`, or the limit beyond which it lies."""
    if step < least:
        return least
    return most if step > most else step
