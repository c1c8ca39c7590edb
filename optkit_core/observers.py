"""Observers of a step: profilers, and the hooks of torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.autograd import profiler
from torch.optim import optimizer as optimizers

Step = Callable[..., Any]


def observed(step: Step) -> Step:
    """Return a step with torch's profiler record and hooks around it, where anyone observes it.

    Opening a record for nobody takes 20 µs, and 100 µs once a backward pass has evicted the
    caches, which is a twentieth of a fused step on 400 small tensors.

    Args:
        step: the method of an optimizer class.
    """
    announced: Step = torch.optim.Optimizer.profile_hook_step(step)

    @wraps(step)
    def either(self: Any, *arguments: Any, **keywords: Any) -> Any:
        chosen = announced if _is_observed(self) else step
        return chosen(self, *arguments, **keywords)

    return either


def _is_observed(optimizer: torch.optim.Optimizer) -> bool:
    return bool(
        profiler._is_profiler_enabled
        or optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or optimizers._global_optimizer_pre_hooks
        or optimizers._global_optimizer_post_hooks
    )
