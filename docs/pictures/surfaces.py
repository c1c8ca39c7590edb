"""Surfaces: two standard functions of two variables, and the paths of optimizers on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

import optkit
from docs.pictures.effort import Effort
from optkit_core import Optimizer

EACH_ITERATION = {"max_iter": 1, "tolerance_change": 0.0}
"""What an algorithm gets that makes several iterations in a step: a point for each of them, and no
end before the minimum."""


@attrs.frozen
class Surface:
    """A function of x and y, where paths start, its minimum, and the part that is shown."""

    name: str
    function: Callable[[Any, Any], Any]
    start: tuple[float, float]
    minimum: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float]


@attrs.frozen
class Path:
    """The points that an optimizer went through, and the learning rate it had, if any."""

    points: tuple[tuple[float, float], ...]
    loss: float
    rate: float | None


def rosenbrock(x: Any, y: Any) -> Any:
    """Return the value of Rosenbrock's curved valley."""
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def beale(x: Any, y: Any) -> Any:
    """Return the value of Beale's function, flat beside steep walls."""
    return sum((a - x * (1 - y**k)) ** 2 for k, a in ((1, 1.5), (2, 2.25), (3, 2.625)))


SURFACES = (
    Surface("Rosenbrock", rosenbrock, (-1.2, 1.0), (1.0, 1.0), (-1.9, 1.9), (-1.0, 2.5)),
    Surface("Beale", beale, (-1.0, -1.2), (3.0, 0.5), (-1.8, 4.2), (-2.0, 2.0)),
)


def path(name: str, surface: Surface, effort: Effort) -> Path:
    """Return the path of an algorithm on a surface, with the learning rate that suits it best.

    One that says how it wants to be compared, with a line search for example, is taken at its word.
    """
    known = {item.name for item in optkit.describe(name).hyperparameters}
    algorithm = optkit.get(name)
    chosen = algorithm.comparison_options(algorithm) if issubclass(algorithm, Optimizer) else {}
    fixed = {**chosen, **{key: value for key, value in EACH_ITERATION.items() if key in known}}
    rates = effort.rates if "lr" in known and not chosen else (None,)
    paths = (descend(name, surface, fixed, rate, effort.steps) for rate in rates)
    return min(paths, key=lambda p: p.loss)


def descend(
    name: str, surface: Surface, fixed: Mapping[str, Any], rate: float | None, steps: int
) -> Path:
    """Take up to so many steps, and no more once the minimum is reached or left for ever."""
    point = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    given = {**fixed, **({} if rate is None else {"lr": rate})}
    optimizer: Any = optkit.create(name, [point], **given)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = surface.function(*point)
        torch.autograd.backward(loss)
        return loss

    def turn_to(mode: str) -> None:
        # Schedule-free algorithms train at one point and are evaluated at another.
        getattr(optimizer, mode, lambda: None)()

    points, loss = [surface.start], closure().item()
    while len(points) <= steps and 1e-12 < loss < 1e6:
        turn_to("train")
        optimizer.step(closure)
        turn_to("eval")
        points.append((point[0].item(), point[1].item()))
        loss = closure().item()
    return Path(tuple(points), loss if loss < 1e6 else float("inf"), rate)
