"""Compiled steps: under ``torch.compile`` a step does what it does without."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from optkit_core.optimizer import Optimizer
from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import closure_for
from optkit_core.testing.subject import Subject

STEPS = 3

BACKEND = "eager"
"""Dynamo's own: what it records runs as it stands, so that no compiler is needed or waited for."""


def compiled(subject: Subject) -> None:
    """Compare compiled steps with plain ones, by the implementation that ``auto`` takes."""
    plain, other = (subject.optimizer(small_parameters(subject)) for _ in range(2))
    step: Any = other.step
    # Of one function Dynamo compiles a few variants only, and of this one others may have had some.
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dynamo's, of what it doesn't follow
        recorded = torch.compile(step, backend=BACKEND)
        for number in range(STEPS):
            _step(subject, plain, plain.step, number)
            _step(subject, other, recorded, number)
    with prefix_failures("under torch.compile it arrives elsewhere"):
        Snapshot.of(other).assert_agrees(Snapshot.of(plain), subject)


def _step(subject: Subject, optimizer: Optimizer, step: Any, number: int) -> None:
    closure = closure_for(subject, optimizer, number)
    if subject.requires_closure:
        step(closure)
        return
    closure()
    step()
