"""What a comparison is asked for, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

Progress = Callable[[str, float], None]
"""Is told the name of an optimizer and how many passes it has spent, again and again."""


@attrs.frozen
class ComparisonSettings:
    """Everything that decides the outcome of a comparison, and where to write it."""

    names: tuple[str, ...]
    data: str = "digits"
    target: str | None = None
    epochs: int = 30
    batch_size: int = 32
    hidden: int = 64
    seed: int = 0
    closure_batches: str = "full"
    implementation: str | None = None
    overrides: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    threads: int = 1
    picture: Path = Path("optkit-compare.png")
    json: Path = Path("optkit-compare.json")


@attrs.frozen
class Point:
    """One point of a loss curve: the loss over the whole training set.

    There is one after each epoch; an optimizer that steps on all rows by closure adds
    one for each evaluation, its line search's trials included.
    """

    epoch: int
    passes: float
    loss: float


@attrs.frozen
class OptimizerResult:
    """What one optimizer achieved, and at what cost.

    A pass is as many gradients of single rows as the training set has rows; times are
    medians over the steps, in seconds, and an update is a step without its gradients.
    """

    name: str
    hyperparameters: Mapping[str, Any]
    uses_closure: bool
    implementation: str
    train_loss: float | None
    test_accuracy: float | None
    seconds_per_step: float
    seconds_per_update: float
    steps: int
    passes: float
    curve: tuple[Point, ...]
    diverged: str = ""


@attrs.frozen
class DataFacts:
    """The size of the data set after the split."""

    name: str
    train_rows: int
    test_rows: int
    features: int
    classes: tuple[str, ...]


@attrs.frozen
class ComparisonReport:
    """A finished comparison."""

    settings: ComparisonSettings
    data: DataFacts
    threads: int
    outcomes: tuple[OptimizerResult, ...]
