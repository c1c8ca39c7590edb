"""The picture of the loss curves, each with its name at its end."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from optkit.cli.compare.label_places import spread
from optkit.cli.compare.records import ComparisonReport, OptimizerResult, Point
from optkit.cli.output_files import writing
from optkit.cli.themes import THEMES, Theme, dress, new_figure

WIDTH, HEIGHT = 8.0, 5.0
INCHES_PER_LABEL = 0.2

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
"""A curve's line when the colors have been used once, twice, ..."""

DEPTH = 100
"""How far below the median of the last losses the picture goes down; where one curve falls far
below all others, these wouldn't be told apart otherwise."""


SMALLEST = 1e-30


def draw(report: ComparisonReport) -> None:
    """Draw the training loss of each optimizer against the passes that it spent.

    Args:
        report: the finished comparison; its settings say where the picture goes.

    Raises:
        OptkitError: matplotlib is missing, or the file can't be written.
    """
    theme = THEMES[report.settings.theme]
    # A third more than the labels need, so that most stand where their curves end.
    height = max(HEIGHT, 1 + 1.35 * INCHES_PER_LABEL * len(report.outcomes))
    figure = new_figure(theme, WIDTH, height)
    axes = figure.subplots()
    _dress(axes, theme, report)
    for index, outcome in enumerate(report.outcomes):
        _draw_curve(axes, theme, index, outcome)
    _name_curves(axes, theme, report)
    with writing("--picture", report.settings.picture):
        figure.savefig(report.settings.picture)


def _style(theme: Theme, index: int) -> dict[str, Any]:
    turns, color = divmod(index, len(theme.curves))
    return {"color": theme.curves[color], "linestyle": DASHES[turns % len(DASHES)]}


def _draw_curve(axes: Any, theme: Theme, index: int, outcome: OptimizerResult) -> None:
    points = [point for point in outcome.curve if math.isfinite(point.loss)]
    axes.plot(
        [point.passes for point in points],
        # A loss can be exactly zero, which a log scale can't show.
        [max(point.loss, SMALLEST) for point in points],
        linewidth=1.7,
        **_style(theme, index),
    )


def _dress(axes: Any, theme: Theme, report: ComparisonReport) -> None:
    dress(axes, theme)
    axes.set_yscale("log")
    axes.set_ylim(_limits(report))
    axes.set_xlim(0, max(point.passes for item in report.outcomes for point in item.curve) or 1)
    title = f"Training loss on {report.data.name}, seed {report.settings.seed}"
    axes.set_title(title, fontsize=13, loc="left", color=theme.ink)
    axes.set_xlabel("passes over the training data (gradients evaluated)", color=theme.ink)
    axes.set_ylabel("training loss (cross-entropy, log scale)", color=theme.ink)
    axes.minorticks_off()


def _name_curves(axes: Any, theme: Theme, report: ComparisonReport) -> None:
    """Write at the end of each curve its name, in order and with room between the names."""
    ends = [_end(axes, outcome) for outcome in report.outcomes]
    room = INCHES_PER_LABEL / (axes.figure.get_figheight() - 1.0)
    places = spread([y for _, y in ends], room)
    axes.text(
        *(1.05, 1 + room), "test accuracy", transform=axes.transAxes, fontsize=9, color=theme.ink
    )
    for index, (outcome, end, place) in enumerate(zip(report.outcomes, ends, places, strict=True)):
        style = _style(theme, index)
        axes.annotate(
            _label(outcome, *axes.get_ylim()),
            xy=end,
            xytext=(1.05, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=style["color"],
            fontsize=9,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5), **style},
        )


def _end(axes: Any, outcome: OptimizerResult) -> tuple[float, float]:
    """Return where a curve ends, as fractions of the axes."""
    last = next(point for point in reversed(outcome.curve) if math.isfinite(point.loss))
    bottom = axes.get_ylim()[0]
    point = axes.transData.transform((last.passes, max(last.loss, bottom)))
    x, y = axes.transAxes.inverted().transform(point)
    return min(x, 1.0), min(y, 1.0)


def _label(outcome: OptimizerResult, bottom: float, top: float) -> str:
    if outcome.test_accuracy is None or outcome.train_loss is None:
        return f"{outcome.name}  diverged"
    outside = "" if bottom <= outcome.train_loss <= top else f", loss {outcome.train_loss:.1g}"
    return f"{outcome.name}  {outcome.test_accuracy:.1%}{outside}"


def _limits(report: ComparisonReport) -> tuple[float, float]:
    """Return the lowest and the highest loss that are shown."""
    curves = [[p for p in map(_positive, item.curve) if p] for item in report.outcomes]
    lowest = min(min(curve) for curve in curves)
    first = max(curve[0] for curve in curves)
    bottom = max(lowest, median(curve[-1] for curve in curves) / DEPTH)
    # What diverges leaves at the top.
    return bottom * 0.8, first * 2


def _positive(point: Point) -> float:
    return point.loss if 0 < point.loss < math.inf else 0.0
