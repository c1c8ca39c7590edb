"""The picture of a training: losses, and below them the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optkit.cli.output_files import writing
from optkit.cli.themes import THEMES, Theme, dress, new_figure
from optkit.cli.train.train_records import TrainReport

WIDTH, HEIGHT = 8.0, 5.5
SMALLEST = 1e-30
FEW = 2
"""Where there are no more epochs, a line is hardly seen, and points are drawn."""


def draw(report: TrainReport) -> None:
    """Draw the losses of each epoch, and the learning rate.

    Args:
        report: the finished training; its settings say where the picture goes.

    Raises:
        OptkitError: matplotlib is missing, or the file can't be written.
    """
    theme = THEMES[report.settings.theme]
    figure = new_figure(theme, WIDTH, HEIGHT)
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    epochs = [figures.epoch for figures in report.epochs]
    curves: dict[str, list[float | None]] = {
        "training loss": [figures.train_loss for figures in report.epochs],
        "test loss": [figures.test_loss for figures in report.epochs],
        "test loss of the average": [figures.averaged_loss for figures in report.epochs],
    }
    for color, (label, values) in zip(theme.curves, curves.items(), strict=False):
        _plot(losses, epochs, values, color, label)
    _plot(rates, epochs, [figures.lr for figures in report.epochs], theme.curves[3], "")
    _dress(losses, rates, theme, report)
    with writing("--picture", report.settings.picture):
        figure.savefig(report.settings.picture)


def _plot(
    axes: Any, epochs: Sequence[int], values: Sequence[float | None], color: str, label: str
) -> None:
    points = [
        (epoch, max(value, SMALLEST))
        for epoch, value in zip(epochs, values, strict=True)
        if value is not None and math.isfinite(value)
    ]
    if points:
        marker = "o" if len(points) <= FEW else None
        axes.plot(*zip(*points, strict=True), color=color, label=label, marker=marker)


def _dress(losses: Any, rates: Any, theme: Theme, report: TrainReport) -> None:
    for axes in (losses, rates):
        dress(axes, theme)
    losses.set_yscale("log")
    losses.set_ylabel("cross-entropy (log scale)", color=theme.ink)
    if losses.lines:
        losses.legend(frameon=False, labelcolor=theme.ink)
    name = report.config["optimizer"]["name"]
    title = f"{name} on {report.data.name}, seed {report.settings.seed}"
    losses.set_title(title, fontsize=13, loc="left", color=theme.ink)
    rates.set_ylabel("learning rate", color=theme.ink)
    rates.set_xlabel("epochs", color=theme.ink)
    rates.xaxis.get_major_locator().set_params(integer=True)
