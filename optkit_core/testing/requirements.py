"""The table of requirements, in the order of a check.

Simple ones come first: `check` ends at the first failure, and a wrong step has many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from optkit_core.errors import UnknownRequirementError, did_you_mean
from optkit_core.testing import (
    capability_claims,
    closure_calls,
    descent,
    determinism,
    extreme_values,
    golden_trajectories,
    gradient_check,
    group_requirements,
    host_synchronization,
    memory_growth,
    misspellings,
    mode_switches,
    range_edges,
    reference_steps,
    sparse_gradients,
    sparse_rows,
    step_requirements,
    variation,
    vector_sizes,
)
from optkit_core.testing.integration_requirements import INTEGRATION
from optkit_core.testing.requirement import Requirement
from optkit_core.testing.state_requirements import STATE

STEPS: tuple[Requirement, ...] = (
    Requirement(
        "defaults",
        "every default is allowed, and stands for what isn't given",
        range_edges.defaults,
        topic="declarations",
    ),
    Requirement(
        "names",
        "misspelled names are refused, and what was meant is told",
        misspellings.misspellings,
        topic="declarations",
    ),
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
        "ranges",
        "ranges are held to at their edges",
        range_edges.range_edges,
        topic="declarations",
    ),
    Requirement(
        "vector_sizes",
        "implementations agree on all sizes and layouts",
        vector_sizes.vector_sizes,
        topic="implementations",
        every_dtype=True,
    ),
    Requirement(
        "extreme_values",
        "implementations agree on extreme values",
        extreme_values.extreme_values,
        topic="implementations",
        every_dtype=True,
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
        "own_values",
        "each group steps by its own values",
        group_requirements.own_values,
        topic="groups",
    ),
    Requirement(
        "later_groups",
        "a group that is added later steps as from the start",
        group_requirements.later_groups,
        topic="groups",
    ),
    Requirement(
        "odd_groups",
        "groups may be empty, and names of parameters are kept",
        group_requirements.odd_groups,
        topic="groups",
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
        "gradcheck",
        "derivatives of steps are what differences say",
        gradient_check.gradcheck,
        topic="options",
    ),
    Requirement(
        "gradcheck_lr",
        "derivatives by the learning rate are what differences say",
        gradient_check.gradcheck_lr,
        topic="options",
    ),
    Requirement(
        "recording",
        "differentiable=True records where it is declared, and nowhere else",
        capability_claims.recorded_steps,
        topic="capabilities",
    ),
    Requirement(
        "capturable",
        "with capturable=True a step reads nothing on the host",
        host_synchronization.capturable_steps,
        topic="capabilities",
    ),
    Requirement(
        "tensor_lr",
        "a learning rate may be a tensor where it is declared so",
        capability_claims.tensor_lr,
        topic="capabilities",
    ),
    Requirement(
        "complex",
        "complex parameters work where they are declared, and nowhere else",
        capability_claims.complex_parameters,
        topic="capabilities",
    ),
    Requirement(
        "layouts",
        "dense and sparse gradients work where they are declared, and nowhere else",
        capability_claims.gradient_layouts,
        topic="capabilities",
    ),
    Requirement(
        "sparse",
        "implementations agree on sparse gradients",
        sparse_gradients.sparse_gradients,
        topic="implementations",
    ),
    Requirement(
        "sparse_rows",
        "a sparse gradient moves its own rows and no others",
        sparse_rows.sparse_rows,
        topic="capabilities",
    ),
    Requirement(
        "closure",
        "a step calls its closure as documented",
        closure_calls.closures,
        topic="steps",
        for_any_optimizer=True,
    ),
)
"""What a step, an option or a group must hold."""

TRAJECTORIES: tuple[Requirement, ...] = (
    Requirement(
        "modes",
        "eval() and train() undo each other",
        mode_switches.modes,
        topic="steps",
    ),
    Requirement(
        "same_bits",
        "the same steps twice give the same bits",
        determinism.same_bits,
        topic="steps",
        for_any_optimizer=True,
    ),
    Requirement(
        "random",
        "no global random generator is drawn from",
        determinism.random_numbers,
        topic="steps",
        for_any_optimizer=True,
    ),
    Requirement(
        "memory",
        "steps keep no memory",
        memory_growth.memory,
        topic="steps",
        for_any_optimizer=True,
    ),
    Requirement(
        "descent",
        "losses of standard problems fall",
        descent.descent,
        topic="convergence",
        for_any_optimizer=True,
    ),
)
"""What many steps must hold."""

REQUIREMENTS: tuple[Requirement, ...] = (*STEPS, *STATE, *INTEGRATION, *TRAJECTORIES)
"""What is required; each id is there once."""


def chosen(only: Iterable[str]) -> Sequence[Requirement]:
    """Return the requirements of some ids in the order of the table, and all for none.

    Args:
        only: ids.

    Raises:
        UnknownRequirementError: there is no such id.

    >>> [requirement.title for requirement in chosen(["maximize"])]
    ['maximize turns the gradients']
    """
    ids, known = set(only), [requirement.id for requirement in REQUIREMENTS]
    for unknown in sorted(ids.difference(known)):
        raise UnknownRequirementError(
            f"no requirement is called {unknown!r}.{did_you_mean(unknown, known)}"
        )
    return [requirement for requirement in REQUIREMENTS if requirement.id in ids or not ids]
