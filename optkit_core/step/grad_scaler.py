"""Scaled gradients: what ``torch.amp.GradScaler`` hands to an optimizer that knows of scales.

It sets two attributes before it calls ``step`` and removes them afterwards: ``grad_scale``,
by which the gradients are too large, and ``found_inf``, which isn't zero where one of them
isn't finite. Then nothing may change, step counters included.
"""

from __future__ import annotations

from torch import Tensor


class Scaling:
    """What a step is to know of its gradients' scale; shared by all buckets of an optimizer."""

    def __init__(self) -> None:
        """Begin without a scale."""
        self.inverse: Tensor | None = None
        self.found_inf: Tensor | None = None

    def update(self, optimizer: object) -> None:
        """Take what the optimizer has been given for the step to come."""
        scale: Tensor | None = getattr(optimizer, "grad_scale", None)
        # In float64 first, as `GradScaler.unscale_` does it, for the same last bit.
        self.inverse = None if scale is None else scale.double().reciprocal().float()
        self.found_inf = getattr(optimizer, "found_inf", None)

    @property
    def is_known_to_skip(self) -> bool:
        """Whether it's known without waiting for a device that the step changes nothing."""
        found_inf = self.found_inf
        return found_inf is not None and found_inf.device.type == "cpu" and bool(found_inf)

    def skipped(self) -> bool | Tensor:
        """Return whether the step changes nothing, since a gradient isn't finite.

        On an accelerator the answer is a tensor, so that nothing waits for the device; where
        it is used as a condition, Python waits.
        """
        found_inf = self.found_inf
        if found_inf is None:
            return False
        return bool(found_inf) if found_inf.device.type == "cpu" else found_inf.ne(0)
