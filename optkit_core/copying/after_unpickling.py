"""What a copy needs once its attributes are in place: its caches, its names, its watchers."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from optkit_core import torch_hooks, torch_private
from optkit_core.declaration.buffers import COUNTER, STEP
from optkit_core.lazy_state import State
from optkit_core.plugins import entry_points, hook_calls
from optkit_core.selection import requests
from optkit_core.stateful_optimizer import StatefulOptimizer
from optkit_core.step.grad_scaler import Scaling


def revive(optimizer: Any) -> None:
    """Finish a copy whose attributes are in place, and let plugins see it.

    Args:
        optimizer: an `Optimizer`, which may lack what its version hasn't had yet.
    """
    optimizer.scaling = Scaling()
    if not hasattr(optimizer, "request"):
        optimizer.request = requests.resolve(optimizer.defaults)
    optimizer.forget_plans()
    optimizer._is_created = True
    if not isinstance(optimizer.state, State):
        optimizer.state = State(optimizer, optimizer.state)
    _modernize(optimizer)
    torch_hooks.reserve_hook_numbers(optimizer)
    # A scheduler marks the `step` of the optimizer that it has wrapped, and warns where it isn't.
    if vars(optimizer).pop(torch_private.TRACKED, False):
        _track(optimizer)
    entry_points.load_all()
    hook_calls.fire("optkit_copied", optimizer=optimizer)


def _modernize(optimizer: StatefulOptimizer) -> None:
    """Bring what an older version has pickled to the shape of this one."""
    if "differentiable" not in optimizer.declarations:
        optimizer.defaults.pop("differentiable", None)  # torch puts it into every copy
    older = [optimizer.defaults, *optimizer.param_groups]
    for name, value in optimizer.default_values.items():
        for options in older:
            options.setdefault(name, optimizer.defaults.get(name, value))
    if STEP in optimizer.state_buffers:
        params = [p for group in optimizer.param_groups for p in group["params"]]
        for state in filter(None, map(optimizer.state.get, params)):
            state[STEP] = torch.as_tensor(state[STEP], dtype=COUNTER.fixed_dtype)


def _track(optimizer: torch.optim.Optimizer) -> None:
    """Let a copied scheduler see that its optimizer steps, as it did with the original."""
    reference = weakref.ref(optimizer)  # strong, it would keep the optimizer alive for ever

    def step(*arguments: Any, **keywords: Any) -> Any:
        stepping: Any = reference()
        torch_private.note_tracked_step(stepping)
        return type(stepping).step(stepping, *arguments, **keywords)

    setattr(step, torch_private.TRACKED, True)
    optimizer.step = step  # type: ignore[method-assign]
