"""The suite: every case, with all its sides in turn, within a time that is given."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from benchmarks.cuda import cases, sides
from benchmarks.cuda.cases import Case
from benchmarks.cuda.device import Clock, Gpu, Times, stand_in, undisturbed
from benchmarks.cuda.table import printed

WARM_UPS, LEAST_ROUNDS = 3, 5


def measure(repeats: int, seconds: float = 600.0, is_dry: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a row for each case; none, and say so, where there is no such GPU.

    Args:
        repeats: rounds of a case at most.
        seconds: time for everything; the cases that are left then aren't measured.
        is_dry: whether the CPU stands in for a GPU, with few and tiny parameters.
    """
    if not is_dry and (not torch.cuda.is_available() or torch.version.hip):
        print("cuda: skipped, there is no NVIDIA GPU here", file=sys.stderr)
        return
    end = time.monotonic() + seconds
    place: AbstractContextManager[Clock] = stand_in() if is_dry else nullcontext(Gpu())
    with place as clock:
        print(f"cuda: {clock.name}", file=sys.stderr)
        for position, case in enumerate(cases.CASES):
            left = end - time.monotonic()
            if position and left <= 0:
                print(f"cuda: no time left for {case} and what follows", file=sys.stderr)
                return
            yield row(case, clock, repeats, left / (len(cases.CASES) - position), is_dry)


def row(
    case: Case, clock: Clock, repeats: int, seconds: float, is_dry: bool = False
) -> dict[str, Any]:
    """Return the medians of one case, which takes about so many seconds."""
    begin = time.monotonic()
    steps, refused = sides.steps(case, clock.device, is_dry)
    left = seconds - (time.monotonic() - begin)
    rounds = in_turn(steps, clock, repeats, 0.8 * left)
    found: dict[str, Any] = {name: _medians(times) for name, times in rounds.items()}
    for name, step in steps.items():
        found[name]["operations"] = sides.operations(step)
    moved = cases.bytes_moved(case, is_dry)
    given = {
        "algorithm": case.algorithm,
        "set": case.set,
        "dtype": str(case.dtype).removeprefix("torch."),
        "rounds": len(next(iter(rounds.values()))),
        "sides": found | {name: {"refused": reason} for name, reason in refused.items()},
        "moved": moved,
        **beside_a_copy(steps.get("fused"), clock, moved, repeats),
    }
    return given | {"printed": printed(given)}


def in_turn(
    steps: dict[str, Callable[[], Any]], clock: Clock, repeats: int, seconds: float
) -> dict[str, list[Times]]:
    """Return each side's times; the sides take turns, each round beginning with another."""
    names = list(steps)
    times: dict[str, list[Times]] = {name: [] for name in names}
    with undisturbed():
        for _ in range(min(WARM_UPS, repeats)):
            begin = time.monotonic()
            for name in names:
                clock.timed(steps[name])
        each = time.monotonic() - begin
        fitting = int(seconds / max(each, 1e-9)) - WARM_UPS
        for number in range(min(repeats, max(LEAST_ROUNDS, fitting))):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                times[name].append(clock.timed(steps[name]))
    return times


def beside_a_copy(
    step: Callable[[], Any] | None, clock: Clock, moved: int, repeats: int
) -> dict[str, float | None]:
    """Return how long the device works for a fused step, and for copying as many bytes.

    A copy reads half of what it moves, and writes the other half.
    """
    source = torch.zeros(moved // 2, dtype=torch.uint8, device=clock.device)
    target = torch.empty_like(source)
    calls = {"kernel": step, "copy": lambda: target.copy_(source)}
    found: dict[str, list[float | None]] = {name: [] for name in calls}
    with undisturbed():
        for _ in range(1 + min(2 * LEAST_ROUNDS, repeats)):
            for name, call in calls.items():
                found[name].append(None if call is None else clock.busy(call))
    return {name: _median(values[1:]) for name, values in found.items()}


def _medians(times: list[Times]) -> dict[str, float]:
    return {
        name: statistics.median(getattr(each, name) for each in times) for name in Times._fields
    }


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
