"""Accelerate's FSDP2 plugin: the optimizer is given shards in place of its parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from processes import torchrun

pytest.importorskip("accelerate", reason="Accelerate isn't installed")

SCRIPT = Path(__file__).parents[2] / "examples" / "clients" / "accelerate_fsdp.py"
TOLERANCE = 1e-4
"""Relative, in float32, after 24 steps."""


def losses(count: int, *words: object) -> list[float]:
    """Return the losses that the example prints on so many processes."""
    printed = torchrun(count, SCRIPT, *words)
    return [float(loss) for loss in re.findall(r"^epoch \d+: loss (\S+)$", printed, re.M)]


@pytest.mark.slow
def test_losses_are_those_of_one_process_also_when_resumed(tmp_path: Path) -> None:
    alone = losses(1, tmp_path / "alone", "--epochs", 3)
    assert len(alone) == 3 and alone[-1] < 0.6 * alone[0]
    begun = losses(2, tmp_path / "parts", "--epochs", 1)
    parts = {path.name for path in (tmp_path / "parts" / "optimizer_0").iterdir()}
    assert parts == {".metadata", "__0_0.distcp", "__1_0.distcp"}
    resumed = losses(2, tmp_path / "parts", "--epochs", 3, "--resume")
    assert begun + resumed == pytest.approx(alone, rel=TOLERANCE)
