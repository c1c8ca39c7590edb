"""An optimizer for each parameter, which steps within the backward pass."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", ["in_backward_in_lock_step", "applied_in_lock_step"])
def test_each_parameter_steps_as_with_torch_optim(case: str, on_two: Any) -> None:
    assert [found[case] for found in on_two] == [[], []]
