"""When the schedule and the average advance: counted in steps of the optimizer or in epochs."""

from __future__ import annotations

import attrs

from optkit_core.config_file.sections import STEP


@attrs.frozen
class Interval:
    """Which steps or epochs something follows.

    Args:
        unit: ``"step"`` (default) or ``"epoch"``.
        every: how many of them lie between two times (default 1).
        start: how many of them pass before that is counted (default 0).
    """

    unit: str = STEP
    every: int = 1
    start: int = 0

    def ends_with(self, unit: str, count: int) -> bool:
        """Return whether it is time, after that many steps or epochs.

        >>> every_third = Interval(every=3, start=10)
        >>> [n for n in range(20) if every_third.ends_with("step", n)]
        [13, 16, 19]
        """
        passed = count - self.start
        return unit == self.unit and passed > 0 and passed % self.every == 0


EVERY_STEP = Interval()
