"""Variation: each hyperparameter away from its value, in a group of its own."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from optkit_core.errors import OptkitError
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject

# Fractions suit betas, whole numbers suit counts; every dtype has each of them exactly.
NUMBERS = (0.125, 0.5, 0.75, 1, 2, 3)
"""What is tried in place of a number, until a range allows it."""

STEPS = 6


def hyperparameters(subject: Subject) -> None:
    """Compare implementations where half of the parameters have another hyperparameter.

    Raises:
        NotApplicableError: there is nothing to compare, or nothing to vary.
    """
    subject.require_body()
    first, *others = subject.implementations
    found = list(variations(subject))
    if not others or not found:
        reason = "there is none that takes other numbers" if others else f"only {first} runs here"
        raise NotApplicableError(reason)
    for varied in found:
        reference = _trajectory(subject, first, varied)
        for name in others:
            with prefix_failures(
                f"{name} differs from {first} where half of the parameters have {varied}"
            ):
                _trajectory(subject, name, varied).assert_agrees(reference, subject)


def _trajectory(subject: Subject, implementation: str, varied: dict[str, Any]) -> Snapshot:
    optimizer = subject.optimizer(_groups(subject, varied), implementation)
    take_steps(subject, optimizer, range(STEPS))
    return Snapshot.of(optimizer)


def _groups(subject: Subject, varied: dict[str, Any]) -> list[dict[str, Any]]:
    params = subject.parameters().params
    half = len(params) // 2
    return [{"params": params[:half]}, {"params": params[half:], **varied}]


def variations(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield for each hyperparameter the first value that a group accepts, if there is one."""
    defaults = subject.optimizer(subject.parameters().params).defaults
    # A class that isn't optkit's declares none.
    for name in getattr(subject.algorithm, "hyperparameter_names", ()):
        # Ranges can't be asked for a value, so some are tried until one is allowed.
        for value in _others(defaults[name]):
            if _is_accepted(subject, {name: value}):
                yield {name: value}
                break


def _is_accepted(subject: Subject, varied: dict[str, Any]) -> bool:
    try:
        subject.optimizer(_groups(subject, varied))
    except OptkitError:
        return False
    return True


def _others(value: Any) -> Iterable[Any]:
    """Return what can stand in place of a value: another truth, other numbers, none of a name."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, numbers.Real):
        return [number for number in NUMBERS if number != value]
    if isinstance(value, (tuple, list)) and value:
        rows = product(*map(_others, value))
        return [type(value)(row) for row in rows]
    return []
