"""The suites ``lbfgs``, evaluations, dispatches and memory, and ``lbfgs_time``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.lbfgs import dispatches, evaluations, footprint, overhead


def counts() -> Iterator[dict[str, Any]]:
    """Yield the rows of what is counted, and is the same however busy the machine is."""
    torch.set_num_threads(1)
    yield from evaluations.measure()
    yield from dispatches.measure()
    yield from footprint.measure()


def times(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of what is timed; `repeats` bounds how often each is."""
    yield from overhead.measure(repeats)
    torch.set_num_threads(1)
