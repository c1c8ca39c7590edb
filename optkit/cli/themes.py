"""The colors of pictures, on light and on dark pages."""

from __future__ import annotations

from typing import Any

import attrs

from optkit.cli.user_errors import from_extra

DOTS_PER_INCH = 150


@attrs.frozen
class Theme:
    """The colors of a picture.

    Args:
        paper: behind everything.
        ink: of text.
        faint: of the axes and the grid.
        curves: told apart with every common color blindness as far as ten can be; the first
            ones are Okabe and Ito's.
    """

    paper: str
    ink: str
    faint: str
    curves: tuple[str, ...]


THEMES = {
    "light": Theme(
        "#ffffff",
        "#24292f",
        "#d0d7de",
        (
            *("#0072b2", "#d55e00", "#009e73", "#b5608f", "#000000"),
            *("#8c6d00", "#2ba6de", "#7a3db8", "#a02020", "#5c7a29"),
        ),
    ),
    "dark": Theme(
        "#16191d",
        "#d8dee6",
        "#3a4149",
        (
            *("#56b4e9", "#f0883e", "#3fc79a", "#dd94bd", "#ffffff"),
            *("#e3c04b", "#3f8efc", "#b48cff", "#ff7b72", "#a5c261"),
        ),
    ),
}


def new_figure(theme: Theme, width: float, height: float) -> Any:
    """Return an empty figure of matplotlib's.

    Args:
        theme: its colors.
        width: in inches.
        height: in inches.

    Raises:
        MissingExtraError: matplotlib isn't installed.
    """
    # Not by pyplot, which keeps figures for the process and may want a display.
    return from_extra("matplotlib.figure", "a picture").Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor=theme.paper
    )


def dress(axes: Any, theme: Theme) -> None:
    """Give axes the colors of a theme, and no more lines than they need.

    Args:
        axes: matplotlib's.
        theme: the colors.
    """
    axes.set_facecolor(theme.paper)
    axes.grid(True, which="major", color=theme.faint, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint)
