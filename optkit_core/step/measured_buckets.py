"""Measured buckets: what all parameters contribute to the totals of a step, and their sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, Self

import attrs
import torch
from torch import Tensor

from optkit_core.implementations.measuring import CONTRIBUTION
from optkit_core.step.step_plan import PlannedBucket


@attrs.define(eq=False)
class MeasuredBucket(PlannedBucket):
    """A bucket that is measured, and what its parameters contribute.

    Args:
        updated: the same bucket as it is updated.
        contributions: a row for each total, with a column for each parameter.
    """

    updated: PlannedBucket = attrs.field(kw_only=True)
    contributions: Tensor = attrs.field(kw_only=True)

    @classmethod
    def of(cls, updated: PlannedBucket, body: Any) -> Self:
        """Return the bucket that is measured before another one is updated.

        Args:
            updated: the bucket that is updated.
            body: the measuring body.
        """
        bucket = updated.bucket
        dtype = CONTRIBUTION.dtype_for(bucket.params[0])
        shape = len(body.names), len(bucket)
        contributions = torch.zeros(shape, dtype=dtype, device=bucket.key.device)
        own = (dict(zip(body.names, row.unbind(), strict=True)) for row in contributions.unbind(1))
        states = [{**state, **new} for state, new in zip(bucket.states, own, strict=True)]
        key = body.key(bucket.key)
        measured = attrs.evolve(bucket, key=key, kept=None, states=states, counts_steps=False)
        return cls(measured, updated.choice, body, updated=updated, contributions=contributions)

    def holds(self) -> bool:
        """Return whether the bucket is as it was, given that the updated one is."""
        if self.bucket.kept is not None:
            return super().holds()
        # Whoever noted that one has looked the gradients up, but for a kernel.
        self.bucket.grads = list(self.updated.bucket.grads)
        return bool(self.bucket.grads) or self.bucket.refresh()


def totals(names: Iterable[str], measured: Sequence[MeasuredBucket]) -> SimpleNamespace:
    """Return the sums over all parameters, as attributes; each device is waited for once.

    They don't depend on how parameters are spread over groups and buckets.

    Args:
        names: of the totals, in the order of the contributions' rows.
        measured: the buckets.
    """
    by_device: dict[torch.device, list[Tensor]] = {}
    for item in measured:
        by_device.setdefault(item.contributions.device, []).append(item.contributions)
    read = [torch.cat(parts, dim=1).tolist() for parts in by_device.values()]
    rows = zip(*read, strict=True)
    sums = [_sum([x for own in row for x in own]) for row in rows]
    return SimpleNamespace(**dict(zip(names, sums, strict=True)))


def _sum(numbers: Sequence[float]) -> float:
    try:
        return math.fsum(numbers)  # rounded once, and so the same in every order
    except (OverflowError, ValueError):  # it refuses infinities of both signs
        return sum(numbers)
