"""The landing page's pictures: what optimizers reach, and how long a step of theirs takes."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.axes import Axes

from docs.pictures import digits
from docs.pictures.style import IMAGES, Theme, dress, save

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "fused.json"

SIZE = (5.0, 3.4)

NAMES = ("adagrad", "adamax", "lbfgs")
MARKERS = ("o", "s", "^")

STEPS = (
    ("torch's Adamax", "step adamax 400 small, torch's default Adamax", "torch"),
    ("torch's fused Adam", "step adamax 400 small, torch's fused Adam", "torch"),
    ("optkit's Adamax", "step adamax 400 small, torch's fused Adam", "optkit"),
)
"""A label, the row of the benchmark on one thread, and its column."""


def draw() -> None:
    """Draw the pictures into ``docs/images``."""
    save(IMAGES / "training", SIZE, _draw_curves)
    save(IMAGES / "step-times", SIZE, _draw_times)


def _draw_curves(axes: Axes, theme: Theme) -> None:
    for curve, color, marker in zip(digits.curves(NAMES), theme.series, MARKERS, strict=False):
        label = f"{curve.name}, {curve.accuracy:.1%} right"
        axes.plot(
            curve.passes, curve.losses, color=color, label=label, marker=marker, markersize=3.5
        )
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xlabel("passes over the training data")
    axes.legend(frameon=False, labelcolor=theme.text, fontsize=9, loc="lower left")
    dress(axes, theme, "Training loss on handwritten digits")


def _draw_times(axes: Axes, theme: Theme) -> None:
    rows = {row["what"]: row for row in json.loads(RESULTS.read_text())["rows"][::-1]}
    times = [rows[what][side] for _, what, side in STEPS]
    colors = [theme.faint, theme.faint, theme.series[0]]
    bars = axes.barh([label for label, _, _ in STEPS], times, color=colors, height=0.55)
    axes.bar_label(bars, [f"{time:.2f} ms" for time in times], padding=4, color=theme.text)
    axes.invert_yaxis()
    axes.set_xlim(0, max(times) * 1.22)
    dress(axes, theme, "A step of 400 small tensors, on one thread")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, left=False, labelsize=10)
