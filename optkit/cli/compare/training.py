"""Training one network with one optimizer, and keeping the accounts.

Every optimizer may spend as many passes over the training set as there are epochs. One
that needs a closure evaluates it several times per step, so by default it steps on the
whole training set: line searches and curvature from ever new mini-batches are noise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import attrs
import torch
from torch.nn.functional import cross_entropy

from optkit.cli.classification.batches import epoch, order_from
from optkit.cli.classification.datasets import Split
from optkit.cli.classification.network import quality
from optkit.cli.classification.optimizer_needs import turn_to
from optkit.cli.compare.contestants import Contestant
from optkit.cli.compare.records import ComparisonSettings, OptimizerResult, Point
from optkit.cli.user_errors import translate_errors

ITS_OWN = "its own"


def train(
    contestant: Contestant,
    split: Split,
    settings: ComparisonSettings,
    progress: Callable[[float], None],
) -> OptimizerResult:
    """Train until the budget is spent or the loss isn't finite any more.

    Args:
        contestant: the optimizer and its network.
        split: the data.
        settings: the budget, the batches and the seed.
        progress: told the number of passes after every epoch.

    Returns:
        The figures.

    Raises:
        OptkitError: the optimizer failed.
    """
    # Whoever trained before has drawn from the generator.
    torch.manual_seed(settings.seed)
    whole = contestant.uses_closure and settings.closure_batches == "full"
    training = _Training(contestant, split, whole)
    training.warm_up()
    training.observe()
    rows, order = len(split.train_y), order_from(settings.seed)
    for _ in range(settings.epochs):
        turn_to(contestant.optimizer, "train")
        training.run_epoch(epoch(rows, rows if whole else settings.batch_size, order))
        progress(training.passes)
        if training.diverged or training.passes >= settings.epochs:
            break
    return training.outcome()


@attrs.define(eq=False)
class _Training:
    contestant: Contestant
    split: Split
    whole: bool
    epoch: int = 0
    rows_evaluated: int = 0
    gradient_seconds: float = 0.0
    step_seconds: list[float] = attrs.field(factory=list)
    update_seconds: list[float] = attrs.field(factory=list)
    curve: list[Point] = attrs.field(factory=list)
    diverged: str = ""

    @property
    def passes(self) -> float:
        return self.rows_evaluated / len(self.split.train_y)

    def warm_up(self) -> None:
        # The first gradients in a process pay for torch's own preparations.
        network = copy.deepcopy(self.contestant.network)
        torch.autograd.backward(cross_entropy(network(self.split.train_x), self.split.train_y))

    def run_epoch(self, batches: tuple[torch.Tensor, ...]) -> None:
        self.epoch += 1
        for rows in batches:
            with translate_errors(
                self.contestant.name, f"making step {len(self.step_seconds) + 1}"
            ):
                self.step(rows)
        self.observe()

    def step(self, rows: torch.Tensor) -> None:
        x, y = self.split.train_x[rows], self.split.train_y[rows]
        optimizer: Any = self.contestant.optimizer
        gradients_before, start = self.gradient_seconds, perf_counter()
        if self.contestant.uses_closure:
            optimizer.step(lambda: self.gradients(x, y))
        else:
            self.gradients(x, y)
            optimizer.step()
        seconds = perf_counter() - start
        self.step_seconds.append(seconds)
        # What is left of a step without its forward and backward passes is the optimizer's own.
        self.update_seconds.append(seconds - (self.gradient_seconds - gradients_before))

    def gradients(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        start = perf_counter()
        with torch.enable_grad():
            self.contestant.optimizer.zero_grad()
            loss = cross_entropy(self.contestant.network(x), y)
            torch.autograd.backward(loss)
        self.gradient_seconds += perf_counter() - start
        if self.whole:
            self.note(loss.item())
        self.rows_evaluated += len(y)
        return loss

    def note(self, loss: float) -> None:
        # The first evaluation after an epoch repeats what `observe` has noted, at the same weights.
        if not self.curve or self.curve[-1].passes < self.passes:
            self.curve.append(Point(self.epoch, self.passes, loss))

    def observe(self) -> None:
        turn_to(self.contestant.optimizer, "eval")
        loss = quality(self.contestant.network, self.split.train_x, self.split.train_y).loss
        self.note(loss)
        if not math.isfinite(loss):
            self.diverged = f"loss {loss} after epoch {self.epoch}"

    def tested(self) -> tuple[float | None, float | None]:
        """Return the loss and the accuracy on the test rows."""
        if self.diverged:
            return None, None
        tested = quality(self.contestant.network, self.split.test_x, self.split.test_y)
        return tested.loss, tested.accuracy

    def outcome(self) -> OptimizerResult:
        test_loss, test_accuracy = self.tested()
        return OptimizerResult(
            name=self.contestant.name,
            hyperparameters=self.contestant.hyperparameters,
            uses_closure=self.contestant.uses_closure,
            implementation=implementation_of(self.contestant.optimizer),
            train_loss=None if self.diverged else self.curve[-1].loss,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            seconds_per_step=median(self.step_seconds),
            seconds_per_update=median(self.update_seconds),
            steps=len(self.step_seconds),
            passes=self.passes,
            curve=tuple(self.curve),
            diverged=self.diverged,
        )


def implementation_of(optimizer: torch.optim.Optimizer) -> str:
    """Return the names of what has run an optimizer's steps.

    Args:
        optimizer: one that has stepped.
    """
    plan = getattr(optimizer, "plan", ())
    return ", ".join(dict.fromkeys(choice.name for choice in plan)) or ITS_OWN
