"""Measuring bodies: what an algorithm sums over all parameters, as interpreters of bodies take it.

Each parameter's contribution is written to a buffer of one number that exists for the step alone,
so that for-loop, foreach and kernels measure as they update.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any, ClassVar, Protocol

import attrs
import torch

from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.totals import Total
from optkit_core.errors import DeclarationError
from optkit_core.implementations.bundle import Bundle
from optkit_core.selection.offer import Offer, UpdateBody
from optkit_core.shards.placements import is_distributed
from optkit_core.step.bucket_key import BucketKey
from optkit_core.tracing.scalar_program import TracedScalar

CONTRIBUTION = Buffer(
    shape=lambda p: (), dtype=lambda p: torch.promote_types(p.dtype.to_real(), torch.float32)
)
"""What one parameter contributes to a total; half a precision's sum of a million has few digits."""


class Measuring(Protocol):
    """What is needed of the class of an algorithm that measures."""

    totals: ClassVar[Mapping[str, Total]]
    buffers: ClassVar[Mapping[str, Buffer]]

    @staticmethod
    def measure(p: Any, g: Any, s: Any, h: Any) -> Mapping[str, Any]:
        """Return what a parameter contributes to each total."""


class MeasuringBody:
    """The body `measure` of an algorithm in the form of an ``update``.

    Args:
        algorithm: the class.

    Attributes:
        contributions: the name of the buffer for each total.
    """

    # What a parameter contributes is a reduction of its elements.
    is_elementwise = False
    counts_steps = False
    update_sparse = None
    offers: tuple[Offer, ...] = ()

    def __init__(self, algorithm: type[Measuring]) -> None:
        """Add a buffer for each total to those that the algorithm declares."""
        self.algorithm = algorithm
        self.contributions = {name: f"contribution_to_{name}" for name in algorithm.totals}
        self.buffers = {**algorithm.buffers, **dict.fromkeys(self.names, CONTRIBUTION)}
        self.__name__ = f"{algorithm.__name__}.measure"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the buffers for contributions."""
        return tuple(self.contributions.values())

    def key(self, key: BucketKey) -> BucketKey:
        """Return the key of a bucket while it is measured.

        Args:
            key: while it is updated.
        """
        known = key.buffers
        return key if known is None else attrs.evolve(key, buffers=(*known, *self.names))

    def update(self, p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Measure a parameter, and write what it contributes."""
        measured = self.algorithm.measure(p, g, s, h)
        if measured.keys() != self.contributions.keys():
            raise DeclarationError(
                f"{self.__name__} returned {sorted(measured)}, and the totals that the class "
                f"declares are {sorted(self.contributions)}."
            )
        for name, value in measured.items():
            place = getattr(s, self.contributions[name])
            if isinstance(value, (Real, TracedScalar)):
                place.fill_(value)
            else:
                place.copy_(_whole(value))


def bodies(algorithm: type[UpdateBody], key: BucketKey) -> Iterator[tuple[Any, BucketKey]]:
    """Yield what an implementation runs for an algorithm, each with the key of its buckets.

    Args:
        algorithm: the class with its update body.
        key: of the buckets that are updated.
    """
    body: MeasuringBody | None = getattr(algorithm, "measuring", None)
    if body is not None:
        yield body, body.key(key)
    yield algorithm, key


def _whole(value: Any) -> Any:
    """Return contributions of whole DTensors, of which this rank knows a part alone."""
    if isinstance(value, Bundle):
        return Bundle([_whole(item) for item in value.tensors]) if not value.takes_over else value
    return value.full_tensor() if is_distributed(value) else value
