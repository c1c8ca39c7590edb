"""The parts of a run: what each does, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.gpu.limited import GRACE

TOTAL = 360.0
"""Seconds for everything, the interruptions of parts included."""

REPORT = 5.0
"""Seconds that are kept for writing the results."""

SLOW = "test_every_operation or more_elements_than_32_bits"
QUICK = "test_agrees_with_torch or hundreds_of_groups or groups_may_lie"
CUDA_TESTS = tuple(f"cuda/test_cuda{rest}.py" for rest in ("", "_groups", "_graphs", "_reader"))


class Part(NamedTuple):
    """One part of a run.

    Args:
        name: what it is called; its log and results have that name.
        seconds: how long it may take if the earlier ones have used up theirs; what these
            leave over is for whoever comes next.
        needed: whether nothing that follows makes sense without it.
        tests: the files of tests that it runs, if it does.
        chosen: an expression that chooses among these tests.
    """

    name: str
    seconds: float
    needed: bool = False
    tests: tuple[str, ...] = ()
    chosen: str = ""


PARTS = (
    Part("environment", 40, needed=True),
    Part("machine", 30, needed=True),
    Part("cuda", 80, tests=CUDA_TESTS, chosen=f"not ({SLOW})"),
    Part("lbfgs", 30, tests=("lbfgs/test_devices.py",)),
    Part("benchmarks", 70),
    Part("cuda-slow", 65, tests=CUDA_TESTS, chosen=SLOW),
)


def limit(parts: Sequence[Part], position: int, left: float) -> float:
    """Return how long a part may take.

    Args:
        parts: all of them.
        position: of the part.
        left: seconds left for it and whatever follows.
    """
    later = sum(part.seconds + GRACE for part in parts[position + 1 :])
    return max(1.0, left - later - GRACE - REPORT)


def quick(parts: Sequence[Part]) -> list[Part]:
    """Return the same parts with a few tests each, and without those that have none then."""
    return [
        part._replace(chosen=QUICK) if part.tests else part
        for part in parts
        if part.name != "cuda-slow"
    ]
