"""Measuring two sides in turn, so that both see the same neighbors on the machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def interleaved(
    theirs: Callable[[], Any],
    ours: Callable[[], Any],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float, float]:
    """Return the median seconds of both sides and the median of the pairwise ratios.

    The order within a pair alternates, so that neither side always runs on a warm cache.
    """
    for _ in range(3):
        theirs()
        ours()
    pairs = []
    for repeat in range(repeats):
        if repeat % 2:
            mine, other = seconds(ours, clock), seconds(theirs, clock)
        else:
            other, mine = seconds(theirs, clock), seconds(ours, clock)
        pairs.append((other, mine))
    return (
        statistics.median(other for other, _ in pairs),
        statistics.median(mine for _, mine in pairs),
        statistics.median(mine / other for other, mine in pairs),
    )


def seconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    call()
    return clock() - start


def row(what: str, threads: int, pair: Any, unit: str, limit: float | None) -> dict[str, Any]:
    """Return one line of the results: torch's seconds (MiB, calls), optkit's, and the ratio.

    `limit` is the highest ratio that is allowed; None where no target is set.
    """
    scale = {"ms": 1e3, "us": 1e6, "MiB": 1.0, "calls": 1.0}[unit]
    return {
        "what": what,
        "threads": threads,
        "torch": pair[0] * scale,
        "optkit": pair[1] * scale,
        "unit": unit,
        "ratio": pair[2],
        "limit": limit,
    }
