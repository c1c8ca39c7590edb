"""What a training is asked for, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from optkit.cli.classification.datasets import DataFacts


@attrs.frozen
class TrainSettings:
    """Everything that decides the outcome of a training, and where to write it."""

    config: Path
    data: str = "digits"
    target: str | None = None
    epochs: int = 30
    batch_size: int = 32
    hidden: int = 64
    seed: int = 0
    threads: int = 1
    theme: str = "light"
    checkpoint: Path | None = None
    every: int = 1
    resume: bool = False
    picture: Path = Path("optkit-train.png")
    json: Path = Path("optkit-train.json")


@attrs.frozen
class EpochFigures:
    """How good the network was after an epoch.

    Args:
        epoch: its number, from 1.
        train_loss: on all training rows.
        test_loss: on the test rows.
        accuracy: on the test rows.
        lr: the learning rate of the first group in the epoch's last step; None where there is none.
        averaged_loss: that of the averaged weights on the test rows; None while there are none.
        averaged_accuracy: likewise.
    """

    epoch: int
    train_loss: float
    test_loss: float
    accuracy: float
    lr: float | None
    averaged_loss: float | None = None
    averaged_accuracy: float | None = None


@attrs.frozen
class TrainReport:
    """A finished training; `resumed_after` is the epoch that it went on from, 0 for none."""

    settings: TrainSettings
    data: DataFacts
    config: Mapping[str, Any]
    implementation: str
    threads: int
    steps: int
    epochs: tuple[EpochFigures, ...]
    resumed_after: int = 0
    diverged: str = ""
