"""Rows that compare several solvers, and how they are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attrs import frozen

Figure = float | int | None
COLUMNS = ("torch", "scipy")


@frozen
class Goal:
    """A figure that is judged, and its bound: the most that is allowed, or the least.

    A figure of None, where there was nothing to measure or a problem wasn't solved, is missed.
    """

    figure: Figure
    bound: float
    least: bool = False

    def met(self) -> bool:
        if self.figure is None or math.isnan(self.figure):
            return False
        return self.figure >= self.bound if self.least else self.figure <= self.bound

    def __str__(self) -> str:
        relation = "at least" if self.least else "at most"
        verdict = "ok" if self.met() else "MISSED"
        return f"{number(self.figure)} ({relation} {number(self.bound)}) {verdict}"


def row(
    what: str,
    unit: str,
    sides: Mapping[str, Figure],
    goal: Goal | None = None,
    threads: int = 1,
    **details: Any,
) -> dict[str, Any]:
    """Return one line of the results: a figure for each side, None where it has none."""
    judged = {"figure": goal.figure, "bound": goal.bound, "met": goal.met()} if goal else None
    fixed = {"what": what, "unit": unit, "threads": threads, "sides": dict(sides), "goal": judged}
    return {**fixed, "printed": _line(what, unit, sides, goal, threads), **details}


def _line(
    what: str, unit: str, sides: Mapping[str, Figure], goal: Goal | None, threads: int
) -> str:
    figures = "  ".join(f"{side} {number(figure):>7}" for side, figure in sides.items())
    return f"{what:<38} {threads} thr {unit:<11}  {figures}  {'' if goal is None else goal}"


def number(figure: Figure) -> str:
    """Return a figure with as many digits as it deserves; a dash where there is none."""
    if figure is None:
        return "-"
    if isinstance(figure, int) or abs(figure) >= 100:
        return f"{figure:.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"
