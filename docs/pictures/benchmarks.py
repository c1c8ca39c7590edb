"""The benchmarks' pictures: times beside torch's, from the results in the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from docs.pictures.style import IMAGES, Theme, dress, save

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

SIZE = (5.0, 3.8)

RATIOS = (
    ("for-loop, 400 small tensors", "spine", "step adamax forloop 400 small"),
    ("foreach, 400 small tensors", "spine", "step adamax foreach 400 small"),
    ("fused, beside torch's default", "fused", "step adamax 400 small, torch's default Adamax"),
    ("fused, beside torch's fused Adam", "fused", "step adamax 400 small, torch's fused Adam"),
    ("for-loop, 16 large tensors", "spine", "step adamax forloop 16 large"),
    ("fused, beside torch's default", "fused", "step adamax 16 large, torch's default Adamax"),
    ("fused, beside torch's fused Adam", "fused", "step adamax 16 large, torch's fused Adam"),
    ("1000 groups, beside torch's default", "groups", "adamax, 1000 groups of 1, torch's default"),
)
"""A label, the suite, and the row of one thread."""

SIDES = (("torch", "torch, strong Wolfe"), ("scipy", "scipy"), ("hager_zhang", "optkit"))
SIZES = ("1e+02", "1e+03", "1e+05", "1e+06")


def draw() -> None:
    """Draw the pictures into ``docs/images``."""
    save(IMAGES / "step-ratios", SIZE, _draw_ratios)
    save(IMAGES / "lbfgs-times", SIZE, _draw_lbfgs)


def _draw_ratios(axes: Axes, theme: Theme) -> None:
    ratios = [_row(suite, what)["ratio"] for _, suite, what in RATIOS]
    places = [place + 0.6 * (place > 3) + 0.6 * (place > 6) for place in range(len(ratios))]
    axes.barh(places, ratios, color=theme.series[0], height=0.62)
    for place, ratio in zip(places, ratios, strict=True):
        axes.text(1.04, place, f"{ratio:.2f}", color=theme.text, fontsize=9, va="center")
    axes.axvline(1, color=theme.faint, linewidth=1, linestyle="--")
    axes.set_yticks(places, [label for label, _, _ in RATIOS])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2)
    dress(axes, theme, "A step of Adamax, torch = 1")
    axes.tick_params(left=False)


def _draw_lbfgs(axes: Axes, theme: Theme) -> None:
    colors = (theme.series[1], theme.series[2], theme.series[0])
    for (side, label), color, marker in zip(SIDES, colors, "s^o", strict=True):
        rows = [_row("lbfgs_time", f"outside the closure, n={n}, m=10")["sides"] for n in SIZES]
        points = [(float(n), row[side]) for n, row in zip(SIZES, rows, strict=True) if side in row]
        axes.loglog(*zip(*points, strict=True), color=color, marker=marker, label=label)
    axes.set_xlabel("parameters")
    axes.set_ylabel("µs for an iteration")
    axes.minorticks_off()
    axes.legend(frameon=False, labelcolor=theme.text, fontsize=9, loc="upper left")
    dress(axes, theme, "L-BFGS outside the closure, history of 10")


def _row(suite: str, what: str) -> dict[str, Any]:
    rows = json.loads((RESULTS / f"{suite}.json").read_text())["rows"]
    found: dict[str, Any] = next(row for row in rows if row["what"] == what and row["threads"] == 1)
    return found
