"""The learning rate of each optimizer: searched where its algorithm says, with equal budgets.

A default that suits one problem says little about another. So each algorithm that declares where
its learning rate is searched may try as many rates, spread over that range, each for as many
passes from the first weights over a part of the training rows. The lowest loss on the rest of them
wins; the test rows have no say in it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import attrs
from torch import Tensor

import optkit
from optkit.cli.classification.datasets import Split, held_out
from optkit.cli.compare.contestants import Contestant, Enter
from optkit.cli.compare.records import (
    DEFAULT,
    GIVEN,
    SEARCHED,
    ComparisonSettings,
    Progress,
    Rate,
    TriedRate,
)
from optkit.cli.compare.training import train

TRIALS = 7
"""How many rates are tried: over three orders of magnitude, each is 3.2 times the one before."""

SHARE = 6
"""A trial has such a part of the passes: all of them cost about as much as the training."""


def passes_of_a_trial(settings: ComparisonSettings) -> int:
    """Return how many passes each rate is tried for."""
    return max(1, round(settings.epochs / SHARE))


def rate_of(
    contestant: Contestant,
    enter: Enter,
    data: Split,
    settings: ComparisonSettings,
    progress: Progress,
) -> Rate:
    """Return the learning rate that an optimizer is to have.

    Args:
        contestant: the optimizer with what the user set.
        enter: makes another one with a rate.
        data: what to train on.
        settings: the budget, and whether rates are searched.
        progress: told how many passes have been spent.

    Raises:
        OptkitError: an optimizer failed.
    """
    lr = contestant.optimizer.defaults.get("lr")
    found = float(lr) if isinstance(lr, int | float | Tensor) else None
    if "lr" in contestant.hyperparameters:
        return Rate(found, GIVEN)
    space = _space(contestant.name) if settings.rates == SEARCHED else None
    if space is None:
        return Rate(found, DEFAULT)
    tried: list[TriedRate] = []
    for rate in _rates(space):
        told = partial(_told, progress, f"{contestant.name}, rates", len(tried), settings)
        trial = attrs.evolve(settings, epochs=passes_of_a_trial(settings))
        outcome = train(enter(contestant.name, {"lr": rate}), held_out(data), trial, told)
        tried.append(TriedRate(rate, outcome.test_loss))
    best = min(tried, key=lambda trial: math.inf if trial.loss is None else trial.loss)
    return Rate(best.lr, SEARCHED, tuple(tried))


def _rates(space: Any) -> list[float]:
    """Return the rates to try, each once: a space of a few values has fewer.

    Those between the ends have two digits, so that they can be given again as they are printed.
    """
    between = [space.ppf(number / (TRIALS - 1)) for number in range(1, TRIALS - 1)]
    if space.distribution != "choice":
        between = [float(f"{rate:.2g}") for rate in between]
    return list(dict.fromkeys([space.ppf(0.0), *between, space.ppf(1.0)]))


def _told(
    progress: Progress, title: str, before: int, settings: ComparisonSettings, passes: float
) -> None:
    each = passes_of_a_trial(settings)
    progress(title, before * each + passes, TRIALS * each)


def _space(name: str) -> Any:
    """Return where the learning rate of an algorithm is searched; None where it isn't."""
    described = optkit.describe(name).hyperparameters
    return next((item.search for item in described if item.name == "lr"), None)
