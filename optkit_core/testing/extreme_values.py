"""Extreme values: zeros of both signs, denormal, huge and tiny numbers, infinity and NaN."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.subject import Subject
from optkit_core.testing.vector_sizes import require_drawn_gradients

STEPS = 2


def extreme_values(subject: Subject) -> None:
    """Compare implementations on pairs of extreme parameters and gradients.

    Raises:
        NotApplicableError: there is nothing to compare, or the results aren't determined: sums
            overflow in one order and not in another, and half precision rounds to nothing.
    """
    require_drawn_gradients(subject)
    if not getattr(subject.algorithm, "is_elementwise", False):
        raise NotApplicableError("its sums overflow in one order of adding and not in another")
    if subject.dtype not in (torch.float32, torch.float64) or not subject.takes_dense:
        raise NotApplicableError("it is checked with dense gradients in float32 and float64")
    first, *others = subject.implementations
    reference = _trajectory(subject, first)
    for name in others:
        with prefix_failures(f"{name} differs from {first} on extreme values"):
            _assert_alike(subject, _trajectory(subject, name), reference)


def _values(dtype: torch.dtype) -> list[float]:
    limits = torch.finfo(dtype)
    return [
        *(0.0, -0.0, 1.0, -1.0, limits.tiny, limits.tiny / 4, -limits.tiny / 4),
        *(limits.eps, 1e-12, 1e18, -1e18, limits.max, -limits.max),
        *(float("inf"), -float("inf"), float("nan")),
    ]


def _pairs(subject: Subject) -> tuple[Tensor, Tensor]:
    """Return every extreme parameter with every extreme gradient, element for element."""
    rows = list(itertools.product(_values(subject.dtype), repeat=2))
    p, g = torch.tensor(rows, dtype=subject.dtype, device=subject.device).unbind(1)
    shape = (len(rows), *[1] * (subject.min_dim - 1))
    return p.reshape(shape).contiguous(), g.reshape(shape).contiguous()


def _trajectory(subject: Subject, name: str) -> list[Snapshot]:
    p, g = _pairs(subject)
    optimizer = subject.optimizer([p], name)
    outcomes = []
    for number in range(STEPS):
        p.grad = g.flip(0) if number else g.clone()
        optimizer.step()
        outcomes.append(Snapshot.of(optimizer))
    return outcomes


def _assert_alike(subject: Subject, found: list[Snapshot], expected: list[Snapshot]) -> None:
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        with prefix_failures(f"step {number + 1}"):
            one.assert_agrees(other, subject)
