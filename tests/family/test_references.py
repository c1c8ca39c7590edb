"""Against independent references in float64 NumPy, which torch and the authors' packages prove."""

from __future__ import annotations

from typing import Any

import pytest
from referenced import NAMES, OF_TORCH, WITH_MODES, each_case
from references import REFERENCES
from references.cases import cases
from references.comparison import Trajectory
from references.trajectory import hyperparameters
from runnable import create, implementations
from torch_inputs import of_torch

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")


def test_every_algorithm_has_a_reference() -> None:
    assert NAMES.keys() <= REFERENCES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_the_published_ones(name: str) -> None:
    cls = NAMES[name]
    found = {key: cls.default_values[key] for key in cls.hyperparameter_names}
    assert found == hyperparameters(REFERENCES[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_hyperparameter_is_varied(name: str) -> None:
    varied = {key for options in cases(name) for key in options}
    assert varied - {"maximize"} == hyperparameters(REFERENCES[name]).keys()


@pytest.mark.parametrize(("name", "options"), each_case(NAMES))
def test_parameters_and_state(name: str, options: Any) -> None:
    trajectory = Trajectory(name, options)
    for by in implementations(name):
        if by != "fused":
            optimizer = trajectory.compare(
                lambda params, by=by: create(name, params, by, **options)
            )
            trajectory.compare_states(optimizer)


@pytest.mark.parametrize(("name", "options"), each_case(WITH_MODES))
def test_evaluation_is_at_the_average(name: str, options: Any) -> None:
    trajectory = Trajectory(name, options)
    trajectory.compare_modes(
        trajectory.compare(lambda params: create(name, params, "forloop", **options))
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), each_case(NAMES))
def test_fused_parameters_and_state(name: str, options: Any) -> None:
    trajectory = Trajectory(name, options)
    if "fused" in implementations(name):
        optimizer = trajectory.compare(lambda params: create(name, params, "fused", **options))
        trajectory.compare_states(optimizer)


@pytest.mark.parametrize(("name", "options"), each_case(OF_TORCH))
def test_references_are_right_about_torch(name: str, options: Any) -> None:
    trajectory = Trajectory(name, options)
    trajectory.compare_states(trajectory.compare(lambda params: of_torch(name, params, **options)))
