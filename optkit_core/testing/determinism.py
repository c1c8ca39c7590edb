"""Determinism: the same steps twice give the same bits, and no random number is drawn."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch

from optkit_core.testing.comparisons import is_same
from optkit_core.testing.failures import prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.stepping import take_steps
from optkit_core.testing.subject import Subject

STEPS = 5


def same_bits(subject: Subject) -> None:
    """Take the same steps twice by every implementation."""
    for name in subject.implementations:
        first, second = (_trajectory(subject, name) for _ in range(2))
        with prefix_failures(f"{name} doesn't do the same twice"):
            second.assert_agrees(first, subject, is_exact=True)


def random_numbers(subject: Subject) -> None:
    """Compare the states of the global random generators before and after steps."""
    for name in subject.implementations:
        before = _generators(subject.device)
        _trajectory(subject, name)
        for what, state in _generators(subject.device).items():
            assert is_same(state, before[what]), (
                f"{name} draws from {what}, which is the user's; draw from a generator of the "
                "algorithm's own"
            )


def _trajectory(subject: Subject, name: str) -> Snapshot:
    optimizer = subject.optimizer(subject.parameters().params, name)
    take_steps(subject, optimizer, range(STEPS))
    return Snapshot.of(optimizer)


def _generators(device: torch.device) -> dict[str, Any]:
    """Return the states of the global generators, NumPy's where it is loaded."""
    states: dict[str, Any] = {
        "torch's generator": torch.get_rng_state(),
        "Python's random": random.getstate(),
    }
    if device.type == "cuda":
        states["torch.cuda's generator"] = torch.cuda.get_rng_state(device)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        kind, keys, *rest = numpy.random.get_state()
        states["numpy.random"] = (kind, keys.tolist(), *rest)
    return states
