"""The comparison: the same network, data and budget for each optimizer in turn."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

import optkit
from optkit.cli.compare.datasets import Split, load, split
from optkit.cli.compare.loss_curves import draw
from optkit.cli.compare.output_files import check_outputs, write_json
from optkit.cli.compare.records import (
    ComparisonReport,
    ComparisonSettings,
    DataFacts,
    Progress,
)
from optkit.cli.compare.training import Contestant, train
from optkit.cli.user_errors import from_extra, translate_errors
from optkit_core import Optimizer, OptkitError, get


def compare(settings: ComparisonSettings, progress: Progress) -> ComparisonReport:
    """Train with each optimizer in turn, and write the picture and the figures.

    Everything that can be refused is refused before the first training starts.

    Args:
        settings: what to compare, on what, and where to write.
        progress: told the optimizer's name and its number of passes, again and again.

    Returns:
        The finished comparison.

    Raises:
        OptkitError: an option, the data or an output path can't be used, or an
            optimizer failed.
    """
    check_outputs(settings.picture, settings.json)
    data = split(load(settings.data, settings.target), settings.seed)
    # Asked for now: after the training it would be too late to say that it is missing.
    from_extra("matplotlib.figure", "compare")
    with _own_random_state(), _threads(settings.threads):
        contestants = enter(settings, data.facts)
        report = _train_all(settings, data, contestants, progress)
    draw(report)
    write_json(report)
    return report


def enter(settings: ComparisonSettings, facts: DataFacts) -> list[Contestant]:
    """Create each optimizer, with a network of its own that starts like all others.

    Args:
        settings: the names, their hyperparameters, the network's size and the seed.
        facts: how many numbers go in, and how many classes come out.

    Returns:
        The optimizers in the order of the names.

    Raises:
        OptkitError: a name or a hyperparameter is unknown, or its value is refused.
    """
    torch.manual_seed(settings.seed)
    network = nn.Sequential(
        nn.Linear(facts.features, settings.hidden),
        nn.ReLU(),
        nn.Linear(settings.hidden, len(facts.classes)),
    )
    return [_contestant(name, copy.deepcopy(network), settings) for name in settings.names]


def _contestant(name: str, network: nn.Module, settings: ComparisonSettings) -> Contestant:
    algorithm = optkit.get(name)
    given = _default_options(algorithm) | dict(settings.overrides.get(name, {}))
    requested = {"implementation": settings.implementation} if settings.implementation else {}
    with translate_errors(name, "being created"):
        # `given` comes last: --set NAME.implementation=... outdoes --implementation for one.
        optimizer = optkit.create(name, list(network.parameters()), **{**requested, **given})
    return Contestant(name, network, optimizer, given, _needs_closure(algorithm))


def _default_options(algorithm: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """Return `Optimizer.comparison_options`, for torch's class from optkit's of the same name."""
    for base in algorithm.__mro__:
        # Most bases are no algorithm's: `object`, `torch.optim.Optimizer`, a mixin.
        with suppress(OptkitError):
            known = base if issubclass(base, Optimizer) else get(base.__name__)
            if issubclass(known, Optimizer):
                return dict(known.comparison_options(algorithm))
    return {}


def _needs_closure(algorithm: type[torch.optim.Optimizer]) -> bool:
    if hasattr(algorithm, "requires_closure"):
        return bool(algorithm.requires_closure)
    # torch says it by the signature alone: the closure of its LBFGS has no default.
    closure = inspect.signature(algorithm.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _train_all(
    settings: ComparisonSettings, data: Split, contestants: list[Contestant], progress: Progress
) -> ComparisonReport:
    outcomes = []
    for contestant in contestants:
        progress(contestant.name, 0.0)
        outcomes.append(train(contestant, data, settings, _told(progress, contestant.name)))
    return ComparisonReport(settings, data.facts, torch.get_num_threads(), tuple(outcomes))


def _told(progress: Progress, name: str) -> Callable[[float], None]:
    return lambda passes: progress(name, passes)


@contextmanager
def _own_random_state() -> Iterator[None]:
    # The caller's generator of the CPU, where the networks are, is as it was, should this run in
    # a notebook.
    with torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
