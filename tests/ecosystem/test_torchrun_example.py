"""The training script of several processes: the same losses however many there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from processes import torchrun

SCRIPT = Path(__file__).parents[2] / "examples" / "distributed" / "train.py"
STEPS, HALF = 6, 3
TOLERANCE = 1e-10
"""Relative, in float64: the order of sums is all that differs."""


def losses(count: int, *words: object) -> list[float]:
    """Return the losses that the script prints on so many processes."""
    printed = torchrun(count, SCRIPT, "--dtype", "float64", *words)
    return [float(loss) for loss in re.findall(r"^step \d+: loss (\S+)$", printed, re.M)]


@pytest.fixture(scope="module")
def alone() -> list[float]:
    """The losses of one process, from the first step to the last."""
    return losses(1, "--steps", STEPS)


@pytest.mark.slow
def test_losses_are_those_of_one_process_and_so_are_those_of_a_run_on_others(
    alone: list[float], tmp_path: Path
) -> None:
    assert len(alone) == STEPS and alone[-1] < alone[1]
    begun = losses(2, "--steps", HALF, "--save", tmp_path / "half")
    assert begun == pytest.approx(alone[:HALF], rel=TOLERANCE)
    resumed = ("--steps", STEPS, "--resume", tmp_path / "half")
    assert losses(4, *resumed, "--tp", 2) == pytest.approx(alone[HALF:], rel=TOLERANCE)
