"""The pictures of an algorithm: its paths on two surfaces, and its curve on digits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

import optkit
from docs.pictures import digits, surfaces
from docs.pictures.effort import FULL, Effort
from docs.pictures.style import Theme, dress, save
from docs.pictures.surfaces import SURFACES, Surface

LEVELS = 16
MARKED = 40
"""Of how many points each is marked, so that the first steps can be counted."""


def is_drawn(name: str) -> bool:
    """Return whether an algorithm takes a point of two numbers, and so has pictures."""
    able = optkit.describe(name).capabilities
    # None where a class doesn't say.
    return able.dense.is_supported is not False and 1 in (able.parameter_dims or (1,))


def draw(name: str, folder: Path, effort: Effort = FULL) -> None:
    """Draw the pictures of an algorithm: ``NAME-rosenbrock-light.svg`` and alike.

    Args:
        name: as `optkit.create` takes it.
        folder: where to.
        effort: how much work to put into them.
    """
    for surface in SURFACES:
        path = surfaces.path(name, surface, effort)
        file = folder / f"{name}-{surface.name.lower()}"
        save(file, (4.6, 3.7), partial(_draw_path, surface=surface, path=path))
    curves = digits.curves(tuple(filter(is_drawn, optkit.available())), effort)
    save(folder / f"{name}-digits", (6.4, 3.2), partial(_draw_curves, name=name, curves=curves))


def _draw_path(axes: Axes, theme: Theme, surface: Surface, path: surfaces.Path) -> None:
    _draw_surface(axes, surface, theme)
    x, y = zip(*path.points, strict=True)
    color, goal = theme.series[0], theme.series[1]
    axes.plot(x, y, color=color, linewidth=1.6, zorder=3)
    axes.plot(x[:MARKED], y[:MARKED], "o", color=color, markersize=3, zorder=3)
    axes.plot(*surface.start, "o", color=theme.text, markersize=6, zorder=4)
    axes.plot(*surface.minimum, "*", color=goal, markersize=13, zorder=5)
    steps = f"{path.loss:.0e} in {len(path.points) - 1} steps"
    dress(axes, theme, f"{surface.name}: {steps}{_rate_text(path.rate)}")
    axes.set_xlim(surface.x)
    axes.set_ylim(surface.y)


def _draw_surface(axes: Axes, surface: Surface, theme: Theme) -> None:
    x, y = (torch.linspace(*ends, 160, dtype=torch.float64) for ends in (surface.x, surface.y))
    grid_x, grid_y = torch.meshgrid(x, y, indexing="xy")
    heights = surface.function(grid_x, grid_y).log1p().numpy()
    colors = LinearSegmentedColormap.from_list("surface", theme.levels)
    axes.contourf(grid_x.numpy(), grid_y.numpy(), heights, LEVELS, cmap=colors, zorder=-1)
    axes.set_rasterization_zorder(0)


def _draw_curves(axes: Axes, theme: Theme, name: str, curves: tuple[digits.Curve, ...]) -> None:
    for curve in curves:
        is_shown = curve.name == name
        axes.plot(
            curve.passes,
            curve.losses,
            color=theme.series[0] if is_shown else theme.faint,
            linewidth=2.2 if is_shown else 1.0,
            alpha=1.0 if is_shown else 0.6,
            zorder=3 if is_shown else 2,
        )
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_xlabel("passes over the training data")
    axes.set_ylabel("training loss")
    rate = next((curve.rate for curve in curves if curve.name == name), None)
    dress(axes, theme, f"Training loss of {name} on handwritten digits{_rate_text(rate)}")


def _rate_text(rate: float | None) -> str:
    return "" if rate is None else f", lr {rate:.2g}"
