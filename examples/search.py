"""A search over algorithms and their hyperparameters: each declares where, Optuna looks there.

    python examples/search.py                      all algorithms
    python examples/search.py 'ada*' lbfgs --trials 60

Each trial trains a network of one hidden layer to tell two spirals apart, for as many evaluations
of the gradient as every other, and reports the loss on points that it hasn't seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import optkit

try:
    import optuna
except ModuleNotFoundError as error:
    raise SystemExit(f"examples/search.py needs {error.name}: pip install optuna") from error

EVALUATIONS = 100
"""How many gradients a trial may ask for; a line search asks for several in a step."""


def suggested(trial: optuna.Trial, name: str) -> dict[str, Any]:
    """Return hyperparameters of an algorithm from where each is to be searched.

    Args:
        trial: what chooses them.
        name: the algorithm.
    """
    return {
        item.name: _value(trial, f"{name}.{item.name}", item.search, item.default)
        for item in optkit.describe(name).hyperparameters
        if item.search
    }


def _value(trial: optuna.Trial, label: str, search: Any, default: Any) -> Any:
    if isinstance(search, tuple):
        entries = zip(search, default, strict=True)
        return tuple(_value(trial, f"{label}[{i}]", *entry) for i, entry in enumerate(entries))
    if search is None:
        return default
    if search.distribution == "choice":
        return trial.suggest_categorical(label, search.choices)
    is_log = search.distribution == "loguniform"
    return trial.suggest_float(label, search.low, search.high, log=is_log)


def main(words: Sequence[str] | None = None) -> None:
    """Search, and print the best trial of each algorithm.

    Args:
        words: the command's; None takes them from the process.
    """
    parser = argparse.ArgumentParser(description="Search hyperparameters by Optuna.")
    parser.add_argument("patterns", nargs="*", default=["*"], help="names, such as 'ada*'")
    parser.add_argument("--trials", type=int, default=30)
    asked = parser.parse_args(words)
    names = sorted({name for pattern in asked.patterns for name in optkit.available(pattern)})
    names = [name for name in names if _takes_the_task(name)]
    if not names:
        parser.error(f"no algorithm that can train this network matches {asked.patterns}.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    for name in names:  # each at least once, as far as the trials go
        study.enqueue_trial({"name": name})
    study.optimize(partial(_objective, names=names), n_trials=asked.trials)
    _print_best(study, names)


def _takes_the_task(name: str) -> bool:
    """Return whether an algorithm takes dense gradients of matrices and vectors; say why not."""
    try:
        _loss_after(name, {}, evaluations=1)
    except (optkit.OptkitError, ValueError, RuntimeError) as error:
        print(f"{name} is left out: {error}")
        return False
    return True


def _objective(trial: optuna.Trial, names: list[str]) -> float:
    name = trial.suggest_categorical("name", names)
    return _loss_after(name, suggested(trial, name), EVALUATIONS)


def _loss_after(name: str, hyperparameters: dict[str, Any], evaluations: int) -> float:
    """Train, and return the loss on points that weren't seen."""
    points, labels = _spirals()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = optkit.create(name, network.named_parameters(), **hyperparameters)
    left = evaluations

    def closure() -> Any:
        nonlocal left
        left -= 1
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(network(points[::2]), labels[::2])
        loss.backward()
        return loss

    while left > 0:
        optimizer.step(closure)
    # Schedule-free algorithms are evaluated at another point than they train at.
    getattr(optimizer, "eval", lambda: None)()
    with torch.no_grad():
        logits = network(points[1::2])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[1::2])
    # A loss that is no number fails the trial; one this high is never searched near again.
    return min(float(loss.nan_to_num(1e6)), 1e6)


def _spirals() -> tuple[Tensor, Tensor]:
    """Return the points of two spirals, and which of them each belongs to."""
    generator = torch.Generator().manual_seed(0)
    angle = torch.rand(400, 1, generator=generator) * 5 + 0.5
    label = (torch.rand(400, 1, generator=generator) > 0.5).float()
    sign = 2 * label - 1
    return torch.cat([sign * angle.cos(), sign * angle.sin()], 1) * angle / 3, label


def _print_best(study: optuna.Study, names: list[str]) -> None:
    for name in names:
        trials = [(t.value, t.number) for t in study.trials if t.params["name"] == name]
        if trials:
            loss, number = min(trials)
            found = study.trials[number].params.items()
            shown = ", ".join(f"{k.partition('.')[2]}={_short(v)}" for k, v in found if k != "name")
            print(f"{name}: loss {loss:.4f} in the best of {len(trials)} trials by {shown}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


if __name__ == "__main__":
    main()
