"""Observers of a step: profilers, and the hooks of torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from optkit_core import torch_hooks, torch_private

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
    return torch_private.is_profiled() or torch_hooks.has_step_hooks(optimizer)
