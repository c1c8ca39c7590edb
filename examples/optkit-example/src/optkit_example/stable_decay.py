"""A schedule that stays at the rate for most of a run, and then lets it fall to zero."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class StableDecayLR(LRScheduler):
    r"""The full rate, then one that falls by :math:`1 - \sqrt{x}` over the last share of steps.

    A run may go on from before the fall, for as long as one likes. With ``warmup=`` of
    `optkit.create_schedule` it is what is known as warm-up, stable, decay.

    Args:
        optimizer: whose rates are scheduled.
        total_steps: after which the rate is zero, from 1.
        decay_share: of them are those in which the rate falls, in (0, 1] (default 0.2).
        last_epoch: how many steps there have been, less one (default -1).

    Raises:
        ValueError: an argument is out of its range.

    Source:
        Hägele et al., *Scaling Laws and Compute-Optimal Training Beyond Fixed Training
        Durations*, 2024, https://arxiv.org/abs/2405.18392.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        decay_share: float = 0.2,
        last_epoch: int = -1,
    ) -> None:
        if total_steps < 1:
            raise ValueError(f"total_steps must be a number from 1, got {total_steps}.")
        if not 0.0 < decay_share <= 1.0:
            raise ValueError(f"decay_share must be in (0, 1], got {decay_share}.")
        self.total_steps = total_steps
        self.decay_share = decay_share
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the rate of each group at this step."""
        decay_steps = self.decay_share * self.total_steps
        done = (self.last_epoch - (self.total_steps - decay_steps)) / decay_steps
        factor = 1.0 - math.sqrt(min(max(done, 0.0), 1.0))
        return [base * factor for base in self.base_lrs]
