"""PostLocalSGDOptimizer and DistributedOptimizer, which have another optimizer step.

torch's DistributedOptimizer takes kinds of its own for eight classes of torch.optim, compiled by
TorchScript; so these are compared by a tolerance.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", ["local_sgd_in_lock_step", "remote_in_lock_step"])
def test_it_steps_as_torch_optim(case: str, on_two: Any) -> None:
    assert [found[case] for found in on_two] == [[], []]
