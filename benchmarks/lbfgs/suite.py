"""The suite ``lbfgs``: evaluations, time outside the closure, dispatches and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.lbfgs import dispatches, evaluations, footprint, overhead


def measure(repeats: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of all parts; `repeats` bounds how often each time is taken."""
    torch.set_num_threads(1)
    yield from evaluations.measure()
    yield from dispatches.measure()
    yield from footprint.measure()
    yield from overhead.measure(repeats)
    torch.set_num_threads(1)
