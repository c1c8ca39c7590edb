r"""A step length that lowers the loss enough, found by going back from a long one.

.. math::
    \phi(t) \le \phi(0) + c_1\,t\,\phi'(0)

Nothing is asked of the slope, so an iteration seldom costs more than one evaluation, and the
pairs whose curvature isn't positive are left out (Nocedal & Wright, Numerical Optimization, 2nd
edition, algorithm 3.1, with the interpolation of section 3.5).
"""

from __future__ import annotations

import attrs

from optkit_plugins.lbfgs.searches.interpolation import cubic_minimizer
from optkit_plugins.lbfgs.solve.line import Line, Trial


@attrs.frozen
class Backtracking:
    """Shortens the step until the loss has fallen enough.

    Args:
        decrease: :math:`c_1`, between 0 and 1.
        shrinkage: the least and the most of a step that the next one is.
        max_trials: the most trials.
    """

    decrease: float = 1e-4  # as Nocedal and Wright suggest in section 3.1
    shrinkage: tuple[float, float] = (0.1, 0.5)
    max_trials: int = 30

    def __call__(self, line: Line, step: float) -> Trial:
        """Return the first trial that lowers the loss enough."""
        line.max_trials = self.max_trials
        trial = line.try_step(step)
        least, most = self.shrinkage
        while trial.loss > line.origin.loss + self.decrease * trial.step * line.origin.slope:
            # After a loss that isn't finite this is the middle of the limits, 0.3 by default.
            shorter = cubic_minimizer(line.origin, trial, least * trial.step, most * trial.step)
            trial = line.try_step(shorter)
        return trial
