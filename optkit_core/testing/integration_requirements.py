"""The table of what must hold beside torch: hooks, schedulers, GradScaler, torch.compile."""

from __future__ import annotations

from optkit_core.testing import (
    compiled_steps,
    grad_scaling,
    hook_requirements,
    scheduler_requirements,
)
from optkit_core.testing.requirement import Requirement

INTEGRATION: tuple[Requirement, ...] = (
    Requirement(
        "amp",
        "steps by torch.amp.GradScaler are those without it",
        grad_scaling.real_scaler,
        topic="integration",
    ),
    Requirement(
        "torch_hooks",
        "torch's hooks are called once each, in order",
        hook_requirements.torch_hooks,
        topic="integration",
        for_any_optimizer=True,
    ),
    Requirement(
        "hook_results",
        "what hooks return in place of a state dict counts",
        hook_requirements.replaced_state_dicts,
        topic="integration",
    ),
    Requirement(
        "optkit_hooks",
        "optkit's hooks are called once each, in order",
        hook_requirements.optkit_hooks,
        topic="integration",
    ),
    Requirement(
        "schedulers",
        "what a scheduler sets takes effect in the next step",
        scheduler_requirements.schedulers,
        topic="integration",
    ),
    Requirement(
        "tensor_schedules",
        "so it does where the learning rate is a tensor",
        scheduler_requirements.tensor_lr_schedules,
        topic="integration",
    ),
    Requirement(
        "compile",
        "under torch.compile a step does the same",
        compiled_steps.compiled,
        topic="integration",
    ),
)
"""In the order of a check."""
