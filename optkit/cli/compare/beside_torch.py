"""The time of an update beside torch's class of the same name, by the quickest that it has.

Both step the same network with the same gradients, in turn, so that both see what else the
machine is doing.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch.nn.functional import cross_entropy

import optkit
from optkit.cli.classification.datasets import Split
from optkit.cli.compare.contestants import Contestant, Enter, comparison_options
from optkit.cli.compare.records import ComparisonSettings, StepTime
from optkit.cli.compare.training import implementation_of
from optkit.cli.user_errors import translate_errors
from optkit_core.plugins.torch_optimizers import counterpart

ROUNDS = 41
ROUNDS_OF_CLOSURES = 5
"""How often each side steps; a step that calls a closure makes many evaluations."""

FLAGS: Mapping[str, Mapping[str, bool]] = {
    "forloop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
"""What chooses an implementation of torch's."""


def step_times(
    names: Sequence[str], enter: Enter, data: Split, settings: ComparisonSettings
) -> tuple[StepTime, ...]:
    """Measure updates beside those of torch's classes of the same names.

    Args:
        names: the optimizers; those without such a class, and torch's own, are left out.
        enter: makes a contestant of a name.
        data: what gradients are computed on.
        settings: the hyperparameters that are set.

    Raises:
        OptkitError: an optimizer failed.
    """
    times = []
    for name in names:
        rival = counterpart(optkit.get(name))
        if rival is not None:
            # Both alike: with the line search that torch's class has, for example.
            contestant = enter(name, comparison_options(rival))
            doing = f"being timed beside torch.optim.{rival.__name__}"
            with translate_errors(name, doing):
                given = settings.overrides.get(name, {})
                times.append(_timed(contestant, dict(_entrants(contestant, rival, given)), data))
    return tuple(times)


def _timed(contestant: Contestant, rivals: Mapping[str, Contestant], data: Split) -> StepTime:
    ours = _updating(contestant, data)
    theirs = {name: _updating(rival, data) for name, rival in rivals.items()}
    rounds = ROUNDS_OF_CLOSURES if contestant.uses_closure else ROUNDS
    measured = [(ours(), {name: step() for name, step in theirs.items()}) for _ in range(rounds)]
    del measured[0]  # it allocates the state, compiles, and so on
    medians = {name: median(other[name] for _, other in measured) for name in theirs}
    quickest = min(medians, key=medians.__getitem__)
    return StepTime(
        contestant.name,
        implementation_of(contestant.optimizer),
        median(own for own, _ in measured),
        type(rivals[quickest].optimizer).__name__,
        quickest,
        medians[quickest],
        median(own / other[quickest] for own, other in measured),
    )


def _entrants(
    contestant: Contestant, rival: type[Any], given: Mapping[str, Any]
) -> Iterator[tuple[str, Contestant]]:
    """Yield torch's class by each implementation that it has on the CPU, by its name."""
    takes = inspect.signature(rival).parameters
    options = {k: v for k, v in given.items() if k in takes} | comparison_options(rival)
    able = {name: flag for name, flag in FLAGS.items() if takes.keys() >= flag.keys()}
    for name, flag in (able or {"its own": {}}).items():
        network = copy.deepcopy(contestant.network)
        optimizer = rival(network.parameters(), **{**options, **flag})
        yield name, Contestant(name, network, optimizer, options, contestant.uses_closure)


def _updating(contestant: Contestant, data: Split) -> Callable[[], float]:
    """Return what takes a step and returns its seconds, less those of the gradients."""
    optimizer: Any = contestant.optimizer
    inside: list[float] = []

    def closure() -> torch.Tensor:
        start = perf_counter()
        with torch.enable_grad():
            optimizer.zero_grad()
            loss = cross_entropy(contestant.network(data.train_x), data.train_y)
            torch.autograd.backward(loss)
        inside.append(perf_counter() - start)
        return loss

    def update() -> float:
        inside.clear()
        start = perf_counter()
        if contestant.uses_closure:
            optimizer.step(closure)
        else:
            optimizer.step()
        return (perf_counter() - start - sum(inside)) / max(1, len(inside))

    closure()
    return update
