"""Sparse gradients: every implementation that takes them leads to the same place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core.selection.offers import offers_of
from optkit_core.step.bucket_key import bucket_key_of
from optkit_core.testing.failures import NotApplicableError, named
from optkit_core.testing.outcome import Outcome
from optkit_core.testing.problem import random
from optkit_core.testing.subject import Subject, params_of

ROWS = (0, 4, 4, 7)
"""The rows that have a gradient; one of them has two, to be added up."""


def sparse_gradients(subject: Subject) -> None:
    """Compare the implementations that take sparse gradients.

    Raises:
        NotApplicableError: no two implementations take them.
    """
    subject.require_elementwise()
    names = _able(subject)
    if len(names) < 2:
        raise NotApplicableError(f"{subject.algorithm.__name__} takes none with these options")
    reference, *others = [_trajectory(subject, name) for name in names]
    for name, found in zip(names[1:], others, strict=True):
        with named(f"{name} differs from {names[0]}"):
            found.assert_agrees(reference, subject)


def _able(subject: Subject) -> list[str]:
    """Return which implementations take sparse gradients: none if the algorithm doesn't."""
    algorithm: Any = subject.algorithm
    group = subject.optimizer(subject.memory().params).param_groups[0]
    key = bucket_key_of(group, group["params"][0], torch.sparse_coo)
    h = subject.optimizer(subject.memory().params).values(group)
    able = [
        offer.name
        for offer in offers_of(algorithm)
        if not offer.unsupported_reason(algorithm, key, h)
    ]
    return (
        []
        if algorithm.unsupported_reason(key, h)
        else [n for n in subject.implementations if n in able]
    )


def _trajectory(subject: Subject, name: str) -> Outcome:
    params = [random((8, n), subject.dtype, n).to(subject.device) for n in (1, 3)]
    optimizer = subject.optimizer(params, name)
    for number in range(subject.steps):
        for p in params_of(optimizer):
            p.grad = _gradient(p, number)
        optimizer.step()
    return Outcome.of(optimizer)


def _gradient(p: Tensor, number: int) -> Tensor:
    values = random((len(ROWS), p.shape[1]), p.dtype, number, p.shape[1])
    rows = torch.tensor([ROWS])
    sparse = torch.sparse_coo_tensor(rows, values, p.shape, check_invariants=True)
    return sparse.to(p.device)
