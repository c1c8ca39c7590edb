"""Style: one look for all pictures, once for light pages and once for dark ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[1] / "images"

SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "optkit",
    "font.family": "sans-serif",
    "font.size": 11,
}
"""Text stays text, in the reader's font; equal pictures are equal files."""


@attrs.frozen
class Theme:
    """The colors of a kind of page.

    Args:
        name: ``"light"`` or ``"dark"``.
        text: of titles and labels.
        faint: of axes, and of what is there for comparison.
        series: of what is shown, in order; told apart with every common color blindness.
        levels: of a map, from its valleys to its heights.
    """

    name: str
    text: str
    faint: str
    series: tuple[str, ...]
    levels: tuple[str, str]


THEMES = (
    Theme(
        "light", "#24292f", "#8c959f", ("#0072b2", "#d55e00", "#009e73", "#b5608f"),
        ("#a9caeb", "#fafcfe"),
    ),
    Theme(
        "dark", "#d8dee6", "#7d8590", ("#56b4e9", "#f0883e", "#3fc79a", "#dd94bd"),
        ("#2b4a6b", "#16191d"),
    ),
)  # fmt: skip

Draw = Callable[[Axes, Theme], None]


def save(path: Path, size: tuple[float, float], draw: Draw) -> None:
    """Draw a picture for each theme.

    Args:
        path: without the ending; ``-light.svg`` and ``-dark.svg`` are added.
        size: width and height in inches, 96 pixels each.
        draw: draws on empty axes in the colors of a theme.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        with matplotlib.rc_context(SETTINGS | {"text.color": theme.text}):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure.subplots(), theme)
            file = path.with_name(f"{path.name}-{theme.name}.svg")
            figure.savefig(file, transparent=True, dpi=144, metadata={"Date": None})


def dress(axes: Axes, theme: Theme, title: str) -> None:
    """Give axes their title, and the theme's colors; only the left and lower spine stay."""
    axes.set_title(title, color=theme.text, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint)
    axes.tick_params(colors=theme.text, which="both", labelsize=9)
    axes.xaxis.label.set_color(theme.text)
    axes.yaxis.label.set_color(theme.text)
