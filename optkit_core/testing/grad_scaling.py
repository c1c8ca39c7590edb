"""GradScaler: scaled gradients step as plain ones, and infinite ones change nothing."""

from __future__ import annotations

import torch

from optkit_core.optimizer import Optimizer
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.small_parameters import small_parameters
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.step_requirements import assert_skipped
from optkit_core.testing.subject import Subject, params_of

SCALE = 4.0
"""A power of two, by which gradients are multiplied and divided without rounding."""


def real_scaler(subject: Subject) -> None:
    """Step by ``torch.amp.GradScaler``, with an infinite gradient in between.

    Raises:
        NotApplicableError: it needs a closure, or gradients are complex, which GradScaler doesn't
            take.
    """
    if subject.requires_closure:
        raise NotApplicableError("it needs a closure, which GradScaler doesn't take")
    if subject.dtype.is_complex:
        raise NotApplicableError("GradScaler takes no complex gradients")
    for name in subject.implementations:
        plain = subject.optimizer(small_parameters(subject), name)
        for number in range(2):
            _give(subject, plain, number)
            plain.step()
        with prefix_failures(name):
            scaled = _scaled(subject, name)
            with prefix_failures("by GradScaler it arrives elsewhere"):
                Snapshot.of(scaled).assert_agrees(Snapshot.of(plain), subject)


def _scaled(subject: Subject, name: str) -> Optimizer:
    optimizer: Optimizer = subject.optimizer(small_parameters(subject), name)
    scaler = torch.amp.GradScaler(subject.device.type, init_scale=SCALE)
    scaler.scale(torch.ones((), device=subject.device))  # makes the tensor of its scale
    _give(subject, optimizer, 0, SCALE)
    scaler.step(optimizer)
    scaler.update()
    before = Snapshot.of(optimizer)
    _give(subject, optimizer, 1, float("inf"))
    scaler.step(optimizer)
    scaler.update()
    assert_skipped(before, Snapshot.of(optimizer))
    _give(subject, optimizer, 1, scaler.get_scale())
    scaler.step(optimizer)
    return optimizer


def _give(subject: Subject, optimizer: Optimizer, number: int, scale: float = 1.0) -> None:
    for position, p in enumerate(params_of(optimizer)):
        g = subject.gradient(p, position, number)
        p.grad = g if scale == 1.0 else g * scale
