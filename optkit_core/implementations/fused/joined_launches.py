"""Several launches as one: in order, or pass by pass where passes are completed over shards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from optkit_core.implementations.fused.sharded_passes import JointPasses
from optkit_core.selection.offer import Launch
from optkit_core.step.buckets import Bucket


def joined(bucket: Bucket, launches: Sequence[Launch]) -> Launch:
    """Return what does all of these, pass by pass where a bucket holds parts of DTensors.

    Args:
        bucket: the one whose rows these step.
        launches: in order.
    """
    return JointPasses(launches) if bucket.key.sharded else one_after_another(launches)


def one_after_another(launches: Sequence[Launch]) -> Launch:
    """Return what does all of these in order."""
    return launches[0] if len(launches) == 1 else partial(_run_all, launches)


def _run_all(launches: Sequence[Launch]) -> None:
    for launch in launches:
        launch()
