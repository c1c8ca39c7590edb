"""Stages of a pipeline, each with an optimizer of its own, over what its rank has."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_stages_train_as_with_torch_optim(on_two: Any) -> None:
    assert [found["stages_in_lock_step"] for found in on_two] == [[], []]


def test_a_stage_may_have_no_parameter(on_two: Any) -> None:
    first, last = (found["stage_without_parameters"] for found in on_two)
    assert len(first) == len(last) > 10
    assert all(moved and count == 2 for _, moved, count in first)
    assert all((moved, count) == (False, 0) for _, moved, count in last)
