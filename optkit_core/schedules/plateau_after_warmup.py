"""A warm-up before a schedule that follows a metric, which torch's SequentialLR can't hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau


class PlateauAfterWarmup(ReduceLROnPlateau):
    """torch's ReduceLROnPlateau, which begins after a warm-up by torch's LinearLR.

    Args:
        optimizer: whose rate it sets.
        warmup: arguments of LinearLR.
        **plateau: arguments of ReduceLROnPlateau.
    """

    def __init__(self, optimizer: Optimizer, warmup: Mapping[str, Any], **plateau: Any) -> None:
        """Begin with the warm-up."""
        super().__init__(optimizer, **plateau)
        self.warmup = LinearLR(optimizer, **warmup)
        self._last_lr = self.warmup.get_last_lr()

    # As the class of torch has it, whose own base class knows of no metric.
    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Make a step of the warm-up, and after its end one that follows the metric.

        Args:
            metrics: what is watched; during the warm-up it isn't looked at.
            epoch: as torch takes it.
        """
        if self.warmup.last_epoch < self.warmup.total_iters:
            self.warmup.step()
            self._last_lr = self.warmup.get_last_lr()
        else:
            super().step(metrics, epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both, as plain values."""
        return {**super().state_dict(), "warmup": self.warmup.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        own = dict(state_dict)
        self.warmup.load_state_dict(own.pop("warmup"))
        super().load_state_dict(own)
