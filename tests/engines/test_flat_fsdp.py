"""FullyShardedDataParallel, under which a rank has a piece of all parameters laid end to end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from engines import WHOLE

import optkit
from optkit_core import torch_private


@pytest.mark.slow
def test_pieces_train_as_with_torch_optim(on_two: Any) -> None:
    assert [found["pieces_in_lock_step"] for found in on_two] == [[], []]


@pytest.mark.slow
def test_algorithms_over_whole_parameters_are_refused(on_two: Any) -> None:
    assert {"lamb", "muon", "prodigy"} <= set(WHOLE)
    for found in on_two:
        for case, said in found["refused_on_pieces"].items():
            assert said.startswith("GroupError: parameter 0 of group 0 is a piece of a flat"), case
            assert "fully_shard" in said


@pytest.mark.slow
def test_what_has_become_a_piece_is_refused_at_the_next_step(on_two: Any) -> None:
    for found in on_two:
        assert "('0.weight') is a piece of a flat parameter" in found["refused_once_flat"]


@pytest.mark.slow
def test_saved_states_resume(on_two: Any) -> None:
    for found in on_two:
        resumed = found["resumed_on_pieces"]
        assert resumed["resumed"] == []
        assert set(resumed["torch fails"]) <= {"full, by FSDP, originals True"}


@pytest.mark.slow
def test_helpers_for_keys_carry_a_state_to_plain_tensors_and_back(on_two: Any) -> None:
    assert [found["rekeyed"] for found in on_two] == [[], []]


def test_without_torchs_mark_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p._fsdp_flattened = True
    assert torch_private.is_flattened(p)
    monkeypatch.setattr(torch_private, "FLATTENED", "_a_name_that_torch_lacks")
    assert not torch_private.is_flattened(p)
    optkit.create("lamb", [p])
