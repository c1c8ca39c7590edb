"""Modes: eval() and train() undo each other, and nothing steps in between."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from optkit_core.errors import ModeError
from optkit_core.modes import WithModes
from optkit_core.optimizer import Optimizer
from optkit_core.testing.comparisons import assert_close, is_same
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_step, take_steps
from optkit_core.testing.subject import Subject


def modes(subject: Subject) -> None:
    """Switch to eval mode and back, by every implementation.

    Raises:
        NotApplicableError: the algorithm has no modes.
    """
    if not issubclass(subject.algorithm, WithModes):
        raise NotApplicableError("it has no modes")
    evaluated = []
    for name in subject.implementations:
        with prefix_failures(name):
            evaluated.append(_evaluated(subject, name))
        with prefix_failures(f"{name} differs from {subject.implementations[0]} in eval mode"):
            _assert_alike(evaluated[-1], evaluated[0], subject)


def _evaluated(subject: Subject, name: str) -> list[Tensor]:
    """Return the parameters in eval mode; all that is to hold about the modes holds."""
    optimizer = subject.optimizer(subject.parameters().params, name)
    assert isinstance(optimizer, WithModes)
    take_steps(subject, optimizer, range(subject.steps))
    trained = Snapshot.of(optimizer)
    optimizer.train()
    with prefix_failures("train() in train mode"):
        Snapshot.of(optimizer).assert_agrees(trained, subject, is_exact=True)
    optimizer.eval()
    found = Snapshot.of(optimizer)
    assert not all(map(is_same, trained.params, found.params)), "eval() changes no parameter"
    optimizer.eval()
    with prefix_failures("eval() in eval mode"):
        Snapshot.of(optimizer).assert_agrees(found, subject, is_exact=True)
    _assert_refuses(subject, optimizer, found)
    for what, twin in (("the optimizer", optimizer), ("a deep copy", copy.deepcopy(optimizer))):
        twin.train()
        with prefix_failures(f"train() of {what} doesn't undo eval()"):
            _assert_alike(Snapshot.of(twin).params, trained.params, subject)
    return found.params


def _assert_refuses(subject: Subject, optimizer: Optimizer, before: Snapshot) -> None:
    """Assert that no step is taken in eval mode."""
    try:
        take_step(subject, optimizer, subject.steps)
    except ModeError:
        Snapshot.of(optimizer).assert_agrees(before, subject, is_exact=True)
    else:
        raise AssertionError("a step in eval mode raises no ModeError")


def _assert_alike(found: list[Tensor], expected: list[Tensor], subject: Subject) -> None:
    """Assert that parameters agree where they are finite: infinity has no way back."""
    for p, q in zip(found, expected, strict=True):
        finite = torch.isfinite(q)
        assert_close(p[finite], q[finite], subject.tolerance)
