"""Several sides in turn, each on all ranks at once."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.pairs import seconds

Times = dict[str, list[float]]


def in_turns(sides: Mapping[str, Callable[[], Any]], repeats: int, warm_up: int = 3) -> Times:
    """Return the seconds of each side's turns, the mean over the ranks, which all return.

    Args:
        sides: what is called, by name; each begins as often as the others do.
        repeats: turns that count.
        warm_up: turns before these.
    """
    names = list(sides)
    times: Times = {name: [] for name in names}
    for turn in range(warm_up + repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            dist.barrier()
            times[name].append(seconds(sides[name]))
    return {name: _over_ranks(found[warm_up:]) for name, found in times.items()}


def _over_ranks(found: list[float]) -> list[float]:
    total = torch.tensor(found, dtype=torch.float64)
    dist.all_reduce(total)
    means: list[float] = (total / dist.get_world_size()).tolist()
    return means


def pair(times: Times, theirs: str, ours: str) -> tuple[float, float, float]:
    """Return the medians of two sides, and that of the ratios of their turns."""
    turns = list(zip(times[theirs], times[ours], strict=True))
    return (
        statistics.median(times[theirs]),
        statistics.median(times[ours]),
        statistics.median(mine / other for other, mine in turns),
    )
