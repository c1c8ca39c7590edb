"""The picture of the loss curves."""

from __future__ import annotations

import math
from typing import Any

from optkit.cli.compare.output_files import writing
from optkit.cli.compare.records import ComparisonReport, OptimizerResult, Point
from optkit.cli.user_errors import from_extra

# Okabe and Ito's palette, told apart with every common color blindness; yellow is left
# out for being too pale on white. Markers and dashes tell the curves apart in gray.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
MAX_INSIDE = 4
SIZE_INCHES = (8.0, 5.0)
DOTS_PER_INCH = 150


def draw(report: ComparisonReport) -> None:
    """Draw the training loss of each optimizer against the passes that it spent.

    Args:
        report: the finished comparison; its settings say where the picture goes.

    Raises:
        OptkitError: matplotlib is missing, or the file can't be written.
    """
    # Not by pyplot, which keeps figures for the process and may want a display.
    figure = from_extra("matplotlib.figure", "compare").Figure(
        figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained"
    )
    axes = figure.subplots()
    floor = _floor(report)
    for index, outcome in enumerate(report.outcomes):
        _draw_curve(axes, index, outcome, floor)
    _label(axes, report)
    with writing("--picture", report.settings.picture):
        figure.savefig(report.settings.picture)


def _draw_curve(axes: Any, index: int, outcome: OptimizerResult, floor: float) -> None:
    points = [point for point in outcome.curve if math.isfinite(point.loss)]
    axes.plot(
        [point.passes for point in points],
        [max(point.loss, floor) for point in points],
        label=_legend(outcome),
        color=COLORS[index % len(COLORS)],
        marker=MARKERS[index % len(MARKERS)],
        linestyle=DASHES[index // len(COLORS) % len(DASHES)],
        markersize=4.5,
        linewidth=1.6,
    )


def _label(axes: Any, report: ComparisonReport) -> None:
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set_title(f"Training loss on {report.data.name}, seed {report.settings.seed}", fontsize=13)
    axes.set_xlabel("passes over the training data (gradients evaluated)")
    axes.set_ylabel("training loss (cross-entropy, log scale)")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    beside = len(report.outcomes) > MAX_INSIDE
    position = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {}
    axes.legend(frameon=False, title="optimizer (test accuracy)", alignment="left", **position)


def _legend(outcome: OptimizerResult) -> str:
    if outcome.test_accuracy is None:
        return f"{outcome.name} (diverged)"
    return f"{outcome.name} ({outcome.test_accuracy:.1%})"


def _floor(report: ComparisonReport) -> float:
    # A loss can be exactly zero, which a log scale can't show.
    losses = [_positive(point) for outcome in report.outcomes for point in outcome.curve]
    return min(losses)


def _positive(point: Point) -> float:
    return point.loss if 0 < point.loss < math.inf else math.inf
