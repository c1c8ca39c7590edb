"""The table of requirements, in the order of a check.

Simple ones come first: `check` ends at the first failure, and a wrong step has many.
"""

from __future__ import annotations

from optkit_core.testing import (
    closure_calls,
    golden_trajectories,
    mode_switches,
    reference_steps,
    resuming,
    sparse_gradients,
    step_requirements,
    variation,
)
from optkit_core.testing.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "step",
        "what has a gradient moves, and nothing else does",
        step_requirements.step_as_they_should,
        topic="steps",
        every_dtype=True,
        for_any_optimizer=True,
    ),
    Requirement(
        "agreement",
        "implementations agree",
        step_requirements.agree,
        topic="implementations",
        every_dtype=True,
    ),
    Requirement(
        "reference",
        "steps equal those of the reference",
        reference_steps.equals_reference,
        topic="mathematics",
        for_any_optimizer=True,
    ),
    Requirement(
        "golden",
        "steps lead where they are pinned",
        golden_trajectories.equals_golden,
        topic="mathematics",
        for_any_optimizer=True,
    ),
    Requirement(
        "maximize",
        "maximize turns the gradients",
        step_requirements.maximize,
        topic="options",
        for_any_optimizer=True,
    ),
    Requirement(
        "groups",
        "implementations heed each group's hyperparameters",
        variation.hyperparameters,
        topic="implementations",
    ),
    Requirement(
        "grad_scaler",
        "implementations heed a GradScaler's scale",
        step_requirements.scaled,
        topic="implementations",
    ),
    Requirement(
        "differentiable",
        "autograd can record a step",
        step_requirements.differentiable,
        topic="options",
    ),
    Requirement(
        "sparse",
        "implementations agree on sparse gradients",
        sparse_gradients.sparse_gradients,
        topic="implementations",
    ),
    Requirement(
        "closure",
        "a step calls its closure as documented",
        closure_calls.closures,
        topic="steps",
        for_any_optimizer=True,
    ),
    Requirement(
        "deepcopy",
        "deep copies continue",
        resuming.deep_copies,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "pickle",
        "pickles continue",
        resuming.pickles,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "state_dict",
        "state dicts continue",
        resuming.state_dicts,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "file",
        "files continue",
        resuming.files,
        topic="state",
        for_any_optimizer=True,
    ),
    Requirement(
        "modes",
        "eval() and train() undo each other",
        mode_switches.modes,
        topic="steps",
    ),
)
"""What is required; each id is there once."""
