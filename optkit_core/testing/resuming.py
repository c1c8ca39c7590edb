"""Resuming: copies, pickles and checkpoints continue as the original would have."""

from __future__ import annotations

import copy
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from optkit_core import save_and_load
from optkit_core.optimizer import Optimizer
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject, params_of

MAX_STEPS = 6
"""How many steps are taken before, and how many after."""


def deep_copies(subject: Subject) -> None:
    """Continue from a deep copy."""
    _resume(subject, lambda optimizer, name: copy.deepcopy(optimizer))


def pickles(subject: Subject) -> None:
    """Continue from a pickle.

    Raises:
        NotApplicableError: the class can't be found by its name.
    """
    cls = subject.algorithm
    # pickle finds a class by module and name; one that a test function defines has none to find.
    if getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is not cls:
        raise NotApplicableError(f"{cls.__qualname__} can't be imported from {cls.__module__}")
    _resume(subject, lambda optimizer, name: pickle.loads(pickle.dumps(optimizer)))


def state_dicts(subject: Subject) -> None:
    """Continue from a state dict, in an optimizer of copies of the parameters."""

    def loaded(optimizer: Optimizer, name: str) -> Optimizer:
        other: Optimizer = subject.optimizer(_copies(subject, optimizer), name)
        other.load_state_dict(subject.saved(optimizer))
        return other

    _resume(subject, loaded)


def files(subject: Subject) -> None:
    """Continue from a file."""

    def loaded(optimizer: Optimizer, name: str) -> Optimizer:
        other: Optimizer = subject.optimizer(_copies(subject, optimizer), name)
        with tempfile.TemporaryDirectory() as folder:
            save_and_load.save(optimizer, Path(folder) / "optimizer.safetensors")
            save_and_load.load(other, Path(folder) / "optimizer.safetensors")
        return other

    _resume(subject, loaded)


def _copies(subject: Subject, optimizer: Optimizer) -> list[Tensor]:
    """Return parameters of the same values, and the same layouts: sums may depend on these."""
    params = subject.parameters().params
    return [new.copy_(p) for new, p in zip(params, params_of(optimizer), strict=True)]


def _resume(subject: Subject, twin_of: Callable[[Optimizer, str], Optimizer]) -> None:
    """Take steps, then some more with a twin and with the original; neither notices the other."""
    half = min(subject.steps, MAX_STEPS)
    first, then = range(half), range(half, 2 * half)
    for name in subject.implementations:
        with prefix_failures(name):
            # Half of the steps before and half after: the state must matter for what follows.
            optimizer = subject.optimizer(subject.parameters().params, name)
            take_steps(subject, optimizer, first)
            before, twin = Snapshot.of(optimizer), twin_of(optimizer, name)
            # The twin first, alone: any memory that it shares shows in the original, which rests.
            take_steps(subject, twin, then)
            with prefix_failures("the original changes with its twin"):
                Snapshot.of(optimizer).assert_agrees(before, subject, is_exact=True)
            take_steps(subject, optimizer, then)
            with prefix_failures("the twin doesn't go on as the original does"):
                Snapshot.of(twin).assert_agrees(Snapshot.of(optimizer), subject, is_exact=True)
