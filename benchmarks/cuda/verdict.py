"""The verdict: what ``auto`` should prefer on CUDA, by rule, from the measured rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.cuda.cases import NEEDED, OURS, SMALL

ALLOWED = 1.02
"""How many times as long as the best of the others a fused step may take on any set."""

CAUTIOUS = ("foreach", "forloop", "fused")
"""The order while nothing better is known: fused runs on request only."""

Case = tuple[str, str, str]


class Verdict(NamedTuple):
    """The order in which ``auto`` should try implementations, with the reasons.

    Args:
        order: of `OURS`.
        is_decided: whether enough was measured; otherwise the order is the cautious one.
        reasons: a sentence each.
    """

    order: tuple[str, ...]
    is_decided: bool
    reasons: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line for ``PREFERENCE`` in ``optkit_core/selection/select_implementation.py``."""
        names = ", ".join(f'"{name}"' for name in self.order)
        return f'    "cuda": ({names}),'


def verdict(rows: Iterable[Mapping[str, Any]], are_right: bool = True) -> Verdict:
    """Decide by rule.

    ``fused`` comes first if its kernels are right, if on no set of parameters its step takes
    more than `ALLOWED` times as long as the best of the others, and if on each of the small
    sets it takes less than that. Otherwise it comes last. ``foreach`` and ``forloop`` come in
    the order of their times, in the geometric mean over all sets.

    Args:
        rows: what the suite has measured, as it writes them.
        are_right: whether the tests of the kernels have run and passed on the same device.

    Returns:
        The order and the reasons; the cautious order where a needed set wasn't measured.

    >>> sides = {"fused": {"step": 1e-4}, "foreach": {"step": 4e-4}, "forloop": {"step": 3e-3}}
    >>> rows = [
    ...     {"algorithm": c.algorithm, "set": c.set, "dtype": "float32", "sides": sides}
    ...     for c in NEEDED
    ... ]
    >>> verdict(rows).order
    ('fused', 'foreach', 'forloop')
    >>> verdict(rows, are_right=False).order
    ('foreach', 'forloop', 'fused')
    """
    measured = _steps(rows)
    missing = [case for case in _needed() if not measured.get(case, {}).keys() >= set(OURS[1:])]
    if missing:
        return Verdict(CAUTIOUS, False, (f"not measured: {_listed(missing)}",))
    others = sorted(OURS[1:], key=lambda name: _mean(measured, name))
    against = _objections(measured) if are_right else ["a test of its kernels failed or didn't run"]
    if against:
        return Verdict((*others, "fused"), are_right, tuple(f"fused last: {w}" for w in against))
    worst = max(_ratios(measured).items(), key=lambda item: item[1])
    told = f"fused first: at most {worst[1]:.2f} of the best of the others ({_name(worst[0])})"
    return Verdict(("fused", *others), True, (told,))


def _steps(rows: Iterable[Mapping[str, Any]]) -> dict[Case, dict[str, float]]:
    """Return the step's seconds of each implementation that took one, by case."""
    return {
        (row["algorithm"], row["set"], row["dtype"]): {
            name: row["sides"][name]["step"]
            for name in OURS
            if "step" in row["sides"].get(name, {})
        }
        for row in rows
    }


def _needed() -> list[Case]:
    return [(case.algorithm, case.set, "float32") for case in NEEDED]


def _ratios(measured: Mapping[Case, Mapping[str, float]]) -> dict[Case, float]:
    """Return how long a fused step takes beside the best of the others, by case."""
    return {
        case: steps["fused"] / min(steps[name] for name in OURS[1:] if name in steps)
        for case, steps in measured.items()
        if "fused" in steps and len(steps) > 1
    }


def _objections(measured: Mapping[Case, Mapping[str, float]]) -> list[str]:
    """Return what speaks against fused as the first choice."""
    ratios = _ratios(measured)
    refused = [case for case in _needed() if case not in ratios]
    if refused:
        return [f"it took no step: {_listed(refused)}"]
    return [
        f"{ratio:.2f} of the best of the others on {_name(case)}"
        for case, ratio in ratios.items()
        if ratio > ALLOWED or (case[1] in SMALL and ratio >= 1.0)
    ]


def _mean(measured: Mapping[Case, Mapping[str, float]], name: str) -> float:
    return exp(fmean(log(measured[case][name]) for case in _needed()))


def _listed(cases: Sequence[Case]) -> str:
    more = f" and {len(cases) - 2} more" if len(cases) > 2 else ""
    return ", ".join(map(_name, cases[:2])) + more


def _name(case: Case) -> str:
    return " ".join(case)
