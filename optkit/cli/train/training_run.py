"""A training as it goes on: the network, what the configuration describes, and the batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import optkit
from optkit.cli.classification.batches import epoch, order_from
from optkit.cli.classification.datasets import Split
from optkit.cli.classification.network import Quality, build_network, quality
from optkit.cli.classification.optimizer_needs import needs_closure, turn_to
from optkit.cli.train.train_records import EpochFigures, TrainSettings
from optkit.cli.user_errors import translate_errors
from optkit_core.config_file.training_setup import TrainingSetup


@attrs.define(eq=False)
class TrainingRun:
    """What changes while a network is trained, all of which a checkpoint holds."""

    settings: TrainSettings
    data: Split
    network: nn.Module
    setup: TrainingSetup
    order: torch.Generator
    figures: list[EpochFigures] = attrs.field(factory=list)

    @property
    def diverged(self) -> str:
        """Why the training can't go on; ``""`` while it can."""
        loss = self.figures[-1].train_loss if self.figures else 0.0
        return "" if math.isfinite(loss) else f"loss {loss} after epoch {len(self.figures)}"

    @property
    def batch_size(self) -> int:
        """Rows in a batch: all of them for what needs a closure, whose searches want no noise."""
        rows = len(self.data.train_y)
        return rows if needs_closure(type(self.setup.optimizer)) else self.settings.batch_size

    @property
    def batches(self) -> int:
        """How many there are in an epoch."""
        return math.ceil(len(self.data.train_y) / self.batch_size)

    def run_epoch(self, stepped: Callable[[], None]) -> EpochFigures:
        """Train for an epoch.

        Args:
            stepped: called after each step.

        Returns:
            The figures after it, which are kept too.

        Raises:
            TrainingError: the optimizer failed.
        """
        turn_to(self.setup.optimizer, "train")
        name = type(self.setup.optimizer).__name__
        remedy = f"Correct {self.settings.config}."
        for rows in epoch(len(self.data.train_y), self.batch_size, self.order):
            with translate_errors(name, f"making step {self.setup.steps + 1}", remedy):
                self._step(self.data.train_x[rows], self.data.train_y[rows])
            stepped()
        turn_to(self.setup.optimizer, "eval")
        self.figures.append(self._end_epoch())
        return self.figures[-1]

    def _step(self, x: Tensor, y: Tensor) -> None:
        def gradients() -> Tensor:
            with torch.enable_grad():
                self.setup.optimizer.zero_grad()
                loss = cross_entropy(self.network(x), y)
                torch.autograd.backward(loss)
            return loss

        if needs_closure(type(self.setup.optimizer)):
            self.setup.step(gradients)
        else:
            gradients()
            self.setup.step()

    def _end_epoch(self) -> EpochFigures:
        trained = quality(self.network, self.data.train_x, self.data.train_y)
        tested = quality(self.network, self.data.test_x, self.data.test_y)
        lr = rate_of(self.setup.optimizer)
        # The loss is for a schedule that watches one; the test rows have no say in the training.
        self.setup.end_epoch(trained.loss)
        averaged = self._averaged()
        return EpochFigures(
            epoch=len(self.figures) + 1,
            train_loss=trained.loss,
            test_loss=tested.loss,
            accuracy=tested.accuracy,
            lr=lr,
            averaged_loss=averaged.loss if averaged else None,
            averaged_accuracy=averaged.accuracy if averaged else None,
        )

    def _averaged(self) -> Quality | None:
        average = self.setup.averaging
        # Before its first update it is the network as it began.
        if average is None or not int(average.n_averaged):
            return None
        return quality(average, self.data.test_x, self.data.test_y)


def begin(settings: TrainSettings, data: Split) -> TrainingRun:
    """Return a training that hasn't made a step.

    Args:
        settings: the configuration, the network's size, and the seed.
        data: what to train on.

    Raises:
        ConfigFileError: the configuration is wrong, or doesn't fit the network.
    """
    network = build_network(data.facts, settings.hidden, settings.seed)
    setup = optkit.from_config(settings.config, network)
    return TrainingRun(settings, data, network, setup, order_from(settings.seed))


def rate_of(optimizer: torch.optim.Optimizer) -> float | None:
    """Return the learning rate of the first group, None where it has none.

    Args:
        optimizer: any.
    """
    lr: Any = optimizer.param_groups[0].get("lr")
    return None if lr is None else float(lr)
