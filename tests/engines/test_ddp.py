"""Replicas under DistributedDataParallel, with its options and communication hooks.

torch's bf16_compress_hook is for GPUs alone; a hook that a user wrote does the same on the CPU.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_replicas_train_as_with_torch_optim(on_two: Any) -> None:
    assert [found["replicas_in_lock_step"] for found in on_two] == [[], []]


def test_lbfgs_averages_the_loss_by_itself(on_two: Any) -> None:
    first, second = (found["replicas_by_lbfgs"] for found in on_two)
    assert first == second
    result, _ = first["replica"]
    assert "evaluations=17" in result
    assert first["views_of_buckets"] == first["replica"] == first["static_graph"]


def test_lbfgs_goes_where_torchs_goes_without_a_line_search(on_two: Any) -> None:
    # With one, torch's compares the losses of different batches.
    for found in on_two:
        assert found["lbfgs_as_torchs"] < 1e-12
