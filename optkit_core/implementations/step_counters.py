"""Step counters: advanced once per step, read once, shared by all implementations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optkit_core.errors import ImplementationError
from optkit_core.step.buckets import Bucket

CAPTURABLE_DEVICES = frozenset({"cuda", "xpu", "hpu", "xla", "privateuseone"})
"""Device types on which a step can be captured in a graph, as torch.optim lists them."""


def advance(steps: list[Tensor]) -> None:
    """Add one to every step counter.

    Counters on the CPU are advanced by a tensor: `torch._foreach_add_` would wrap a Python
    number anew for each of them, which takes four times as long.
    """
    if not steps:
        return
    if steps[0].is_cpu:
        # alpha= chooses the form that takes a tensor; without it torch reads its number.
        torch._foreach_add_(steps, torch.tensor(1.0, dtype=steps[0].dtype, device="cpu"), alpha=1)
    else:
        torch._foreach_add_(steps, 1)


def counts_of(bucket: Bucket) -> list[float | None]:
    """Return the number of the step that each row takes, from its counter as it is.

    Where steps aren't counted there is none.
    """
    return [*read(bucket.counters)] or [None] * len(bucket)


def read(steps: Sequence[Tensor]) -> list[float]:
    """Return the counts as Python numbers; counters on an accelerator are waited for."""
    return [step.item() for step in steps]


def require_capturable(steps: Sequence[Tensor], device: torch.device) -> None:
    """Raise unless counters and parameters lie together on a device that captures graphs.

    Args:
        steps: the counters.
        device: where the parameters are.

    Raises:
        ImplementationError: ``capturable=True`` where no graph can be captured.
    """
    # On the meta device nothing has a value: what a captured step may not read fails there too.
    supported = device.type in {*CAPTURABLE_DEVICES, "meta"}
    if supported and all(s.device == device for s in steps):
        return
    away = steps[0].device if steps else "none"
    raise ImplementationError(
        f"capturable=True needs parameters and step counters together on one of "
        f"{', '.join(sorted(CAPTURABLE_DEVICES))}; here the parameters are on {device} and the "
        f"counters on {away}. Use capturable=False, or move the model first."
    )
