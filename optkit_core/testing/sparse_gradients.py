"""Sparse gradients: every implementation that takes them arrives at the same values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core.selection.collect_offers import offers_of
from optkit_core.step.bucket_key import bucket_key_of
from optkit_core.testing.failures import NotApplicableError, prefix_failures
from optkit_core.testing.problems import random
from optkit_core.testing.snapshot import Snapshot
from optkit_core.testing.subject import Subject, params_of

ROWS = (0, 4, 4, 7)
"""The rows that have a gradient; one of them has two, to be added up."""


def sparse_gradients(subject: Subject) -> None:
    """Compare the implementations that take sparse gradients.

    Raises:
        NotApplicableError: no two implementations take them.
    """
    subject.require_body()
    names = _able(subject)
    if len(names) < 2:
        raise NotApplicableError(f"{subject.algorithm.__name__} takes none with these options")
    reference, *others = [_trajectory(subject, name) for name in names]
    for name, trajectory in zip(names[1:], others, strict=True):
        with prefix_failures(f"{name} differs from {names[0]}"):
            trajectory.assert_agrees(reference, subject)


def _able(subject: Subject) -> list[str]:
    """Return which implementations take sparse gradients: none if the algorithm doesn't."""
    algorithm: Any = subject.algorithm
    group = subject.optimizer(subject.parameters().params).param_groups[0]
    key = bucket_key_of(group, group["params"][0], torch.sparse_coo)
    h = subject.optimizer(subject.parameters().params).values(group)
    if algorithm.unsupported_reason(key, h):
        return []
    offers = offers_of(algorithm)
    able = {offer.name for offer in offers if not offer.unsupported_reason(algorithm, key, h)}
    return [name for name in subject.implementations if name in able]


def _trajectory(subject: Subject, name: str) -> Snapshot:
    params = [random((8, n), subject.dtype, n).to(subject.device) for n in (1, 3)]
    optimizer = subject.optimizer(params, name)
    for number in range(subject.steps):
        for p in params_of(optimizer):
            p.grad = _gradient(p, number)
        optimizer.step()
    return Snapshot.of(optimizer)


def _gradient(p: Tensor, number: int) -> Tensor:
    values = random((len(ROWS), p.shape[1]), p.dtype, number, p.shape[1])
    rows = torch.tensor([ROWS])
    sparse = torch.sparse_coo_tensor(rows, values, p.shape, check_invariants=True)
    return sparse.to(p.device)
