r"""Which pairs are remembered: those whose curvature :math:`s^\top y` is one.

A pair makes the inverse Hessian along its step as large as :math:`s^\top s / s^\top y`, so one
that is as good as zero asks for a step out of all proportion. With a line search the loss has the
last word on that; without one nothing has. There torch takes a pair if :math:`s^\top y > 10^{-10}`,
a number with units. So are pairs here, for the sake of torch's iterates, unless they are doubtful
and ask for too much; and others if they are beyond doubt, for the sake of losses in small units
and of the last iterations before a minimum.

Doubtful is a small part of what was to be expected, :math:`s^\top B s` with the approximation
:math:`B = H^{-1}` of before the step (Nocedal and Wright, *Numerical Optimization*, 2nd edition,
procedure 18.2), where :math:`B = (y^\top y / s^\top y) I` stands for the first pair (equation
6.20). Of smooth losses that is seldom less than a hundredth. Clipped gradients, which are not
those of the loss, change sideways and hardly along the step: there it was 1e-9 to 1e-4.
"""

from __future__ import annotations

MIN_FOR_TORCH = 1e-10
"""What torch takes for curvature, whatever the units of the loss are."""

CLEAR_PART = 1e-3
"""The part of the expected curvature from which on there is no doubt."""

CLEAR_ROUNDINGS = 100
"""How often a curvature without a doubt exceeds the rounding of the products it comes from."""

MAX_GROWTH = 1000
"""How many times as long as the last step the next one may be by a doubtful pair."""


def is_positive(curvature: float, along: float, precision: float) -> bool:
    r"""Return whether a curvature is more than rounding, which is enough for a line search.

    It is the curvature condition :math:`s^\top y > 0`, equation 6.7 of Nocedal and Wright.

    Args:
        curvature: :math:`s^\top y`.
        along: :math:`|s^\top g|`, which the curvature is the change of.
        precision: the relative distance of neighboring numbers.
    """
    return curvature > precision * along


def is_clear(curvature: float, along: float, precision: float, expected: float) -> bool:
    r"""Return whether a curvature is beyond doubt.

    Args:
        curvature: :math:`s^\top y`.
        along: :math:`|s^\top g|`.
        precision: the relative distance of neighboring numbers.
        expected: :math:`s^\top B s`.
    """
    return curvature > CLEAR_PART * expected and curvature > CLEAR_ROUNDINGS * precision * along


def is_tolerable(curvature: float, along: float, next_length: float) -> bool:
    r"""Return whether a doubtful curvature is one for torch, and the next step not too long.

    Args:
        curvature: :math:`s^\top y`.
        along: :math:`|s^\top g|`.
        next_length: the length of the next step, which no line search checks. Along :math:`s`,
            from a gradient like the last, it will be ``next_length * along / curvature`` times
            :math:`s`.
    """
    return curvature > MIN_FOR_TORCH and next_length * along <= MAX_GROWTH * curvature
