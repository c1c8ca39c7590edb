"""FSDP2: shards, policies, accumulation, clipping, averages, groups; and with tensor parallelism.

torch's own Rprop fails on DTensors; optkit's is compared with its steps on replicas.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow

ON_TWO = [
    "shards_in_lock_step",
    "policies_in_lock_step",
    "accumulated_in_lock_step",
    "clipped_in_lock_step",
    "averages_of_shards",
    "grouped_shards",
]


@pytest.mark.parametrize("case", ON_TWO)
def test_shards_train_as_with_torch_optim_or_as_replicas(case: str, on_two: Any) -> None:
    assert [found[case] for found in on_two] == [[], []]


@pytest.mark.parametrize("case", ["two_dims_in_lock_step", "hybrid_in_lock_step"])
def test_two_dims_train_as_with_torch_optim(case: str, on_four: Any) -> None:
    assert [found[case] for found in on_four] == [[]] * 4


def test_rules_name_layers_in_two_dims_and_steps_communicate_nothing(on_four: Any) -> None:
    for found in on_four:
        names, (first,), collectives = found["rules_in_two_dims"]
        assert sorted(names) == ["0.bias", "0.weight", "2.bias", "2.weight"]
        assert "over 2x2" in first
        assert collectives == 0
