"""Algorithms under ZeroRedundancyOptimizer, which gives each rank some of the parameters.

Steps that overlap with DistributedDataParallel take functional optimizers of torch's own; torch
refuses any other class, by its name.
"""

from __future__ import annotations

from typing import Any

import pytest
from engines import JOINT

pytestmark = pytest.mark.slow


def test_it_trains_as_without_zero_and_as_with_torch_optim(on_two: Any) -> None:
    assert [found["zero_in_lock_step"] for found in on_two] == [[], []]


def test_matrices_are_whole_under_it(on_two: Any) -> None:
    assert [found["matrices_under_zero"] for found in on_two] == [[], []]


def test_algorithms_that_decide_by_all_parameters_are_refused(on_two: Any) -> None:
    assert JOINT
    for found in on_two:
        for name in JOINT:
            said = found["refused_under_zero"][name]
            assert said.startswith("GroupError")
            assert "ZeroRedundancyOptimizer gives each rank some of them" in said
            assert "fully_shard" in said


def test_overlapping_is_refused_by_torch(on_two: Any) -> None:
    for found in on_two:
        said = found["refused_under_zero"]["overlapped"]
        assert said.startswith("ValueError")
        assert "optkit_plugins.adam.Adam" in said


def test_a_consolidated_state_resumes_with_and_without_zero(on_two: Any) -> None:
    assert [found["resumed_under_zero"] for found in on_two] == [[], []]


def test_groups_are_added_and_schedules_handed_on(on_two: Any) -> None:
    assert [found["groups_under_zero"] for found in on_two] == [[], []]
