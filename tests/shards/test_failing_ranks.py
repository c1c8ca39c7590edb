"""A rank that fails ends the others with an error, within the limit of their process group."""

from __future__ import annotations

from pathlib import Path

import failing_ranks
import pytest


@pytest.mark.slow
def test_nobody_waits_for_a_rank_that_has_failed(tmp_path: Path) -> None:
    said = failing_ranks.outcomes(tmp_path)
    assert "this rank's loss isn't finite" in said["in_its_closure 1"]
    assert "lr must be" in said["instead_of_creating 1"]
    assert "this rank's loss isn't finite" in said["while_minimizing 1"]
    for case in ("in_its_closure", "instead_of_creating", "while_minimizing", "killed"):
        assert "Error" in said[f"{case} 0"]
    assert "show_gradients" in said["in_its_closure 0"]  # redistributing a gradient
    assert "all_gather_object" in said["instead_of_creating 0"]
    assert "communicator" in said["while_minimizing 0"]
