"""The contestants: optimizers, each with a network of its own that starts like all others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import attrs
import torch
from torch import nn

import optkit
from optkit.cli.classification.datasets import DataFacts
from optkit.cli.classification.network import build_network
from optkit.cli.classification.optimizer_needs import needs_closure
from optkit.cli.compare.records import ComparisonSettings
from optkit.cli.user_errors import translate_errors
from optkit_core import Optimizer, OptkitError, get


@attrs.frozen(eq=False)
class Contestant:
    """An optimizer, the network it trains, and what it was given."""

    name: str
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    hyperparameters: Mapping[str, Any]
    uses_closure: bool


Enter = Callable[[str, Mapping[str, Any]], Contestant]
"""Makes a contestant of a name, with further hyperparameters than those that are set."""


def entrance(settings: ComparisonSettings, facts: DataFacts) -> Enter:
    """Return what creates an optimizer, with a network of its own that starts like all others.

    Args:
        settings: the hyperparameters that are set, the network's size and the seed.
        facts: how many numbers go in, and how many classes come out.
    """
    first = build_network(facts, settings.hidden, settings.seed)
    return lambda name, further: _contestant(name, copy.deepcopy(first), settings, further)


def _contestant(
    name: str, network: nn.Module, settings: ComparisonSettings, further: Mapping[str, Any]
) -> Contestant:
    algorithm = optkit.get(name)
    given = comparison_options(algorithm) | dict(settings.overrides.get(name, {}))
    requested = {"implementation": settings.implementation} if settings.implementation else {}
    with translate_errors(name, "being created"):
        # `given` outdoes --implementation for one, by --set NAME.implementation=...
        options = {**requested, **given, **further}
        optimizer = optkit.create(name, list(network.parameters()), **options)
    return Contestant(name, network, optimizer, given, needs_closure(algorithm))


def comparison_options(algorithm: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """Return `Optimizer.comparison_options`, for torch's class from optkit's of the same name.

    Args:
        algorithm: any optimizer's class.
    """
    for base in algorithm.__mro__:
        # Most bases are no algorithm's: `object`, `torch.optim.Optimizer`, a mixin.
        with suppress(OptkitError):
            known = base if issubclass(base, Optimizer) else get(base.__name__)
            if issubclass(known, Optimizer):
                return dict(known.comparison_options(algorithm))
    return {}
