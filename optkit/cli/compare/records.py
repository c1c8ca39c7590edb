"""What a comparison is asked for, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from optkit.cli.classification.datasets import DataFacts

Progress = Callable[[str, float, float], None]
"""Is told what trains, how many passes it has spent and how many it may, again and again."""

SEARCHED, GIVEN, DEFAULT = "searched", "given", "default"
"""Where a learning rate comes from."""


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
    rates: str = SEARCHED
    against: str | None = None
    theme: str = "light"
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
class TriedRate:
    """A learning rate, and the loss on held-out rows after a trial; None: it diverged."""

    lr: float
    loss: float | None


@attrs.frozen
class Rate:
    """The learning rate of an optimizer; None where it has none, or not one for all groups.

    Args:
        lr: the rate.
        source: ``"searched"``, ``"given"`` or ``"default"``.
        tried: the rates that were tried, where it was searched.
    """

    lr: float | None
    source: str = DEFAULT
    tried: tuple[TriedRate, ...] = ()


@attrs.frozen
class StepTime:
    """The time of an algorithm's update beside that of torch's class of the same name.

    Args:
        name: the algorithm.
        implementation: what ran it.
        seconds: an update, without gradients; for one that calls a closure, each evaluation's
            share of it without the closure; the median.
        torch_class: the name of torch's class.
        torch_implementation: the quickest of those that torch has for it.
        torch_seconds: likewise.
        ratio: the median of the ratios of both.
    """

    name: str
    implementation: str
    seconds: float
    torch_class: str
    torch_implementation: str
    torch_seconds: float
    ratio: float


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
    test_loss: float | None
    test_accuracy: float | None
    seconds_per_step: float
    seconds_per_update: float
    steps: int
    passes: float
    curve: tuple[Point, ...]
    diverged: str = ""
    rate: Rate = Rate(None)


@attrs.frozen
class ComparisonReport:
    """A finished comparison."""

    settings: ComparisonSettings
    data: DataFacts
    threads: int
    outcomes: tuple[OptimizerResult, ...]
    left_out: Mapping[str, str] = attrs.field(factory=dict)
    against: tuple[StepTime, ...] = ()
