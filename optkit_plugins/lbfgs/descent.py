"""The iterations of one step: a direction, a step length, a move, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor

from optkit_plugins.lbfgs.direction import History
from optkit_plugins.lbfgs.flat import Scalar, magnitude, move
from optkit_plugins.lbfgs.line_search import Search, Trial, strong_wolfe
from optkit_plugins.lbfgs.memory import Memory, recall
from optkit_plugins.lbfgs.objective import Objective, Point


@attrs.frozen(eq=False)
class Limits:
    """The hyperparameters of one step, as the group holds them at its start."""

    lr: Scalar
    max_iter: int
    max_eval: int
    tolerance_grad: float
    tolerance_change: float
    history_size: int
    line_search_fn: str | None

    @classmethod
    def from_group(cls, group: Mapping[str, Any]) -> Limits:
        """Read the hyperparameters of a parameter group."""
        values = {field.name: group[field.name] for field in attrs.fields(cls)}
        if isinstance(values["lr"], Tensor):
            # The step is remembered in the state; a scheduler writes into the group's tensor.
            values["lr"] = values["lr"].detach().clone().reshape(())
        return cls(**values)

    def is_minimum(self, point: Point) -> bool:
        """Whether the gradient is as good as zero."""
        return bool(magnitude(point.gradient) <= self.tolerance_grad)

    def is_done(self, memory: Memory, point: Point) -> bool:
        """Whether `point`, where the last move led, is a minimum or hardly a change."""
        if self.is_minimum(point):
            return True
        moved = magnitude(memory.direction * memory.step)
        gained = abs(point.loss - memory.origin.loss)
        return bool(moved <= self.tolerance_change) or gained < self.tolerance_change


def minimize(objective: Objective, point: Point, state: dict[str, Any], limits: Limits) -> None:
    """Iterate from `point`, where the parameters are, until a limit is reached.

    Args:
        objective: the closure, called once already.
        point: what that call found.
        state: the first parameter's state, read at the start and written with every move.
        limits: when to stop, and how to search.
    """
    if limits.is_minimum(point):
        return
    memory = recall(state, like=point.gradient)
    for left in reversed(range(limits.max_iter)):
        memory = _aim(memory, point, limits)
        slope = point.gradient.dot(memory.direction)
        if slope > -limits.tolerance_change:
            memory.store(state, limits.history_size)
            return
        step, there = _distance(objective, memory, slope, limits)
        memory = attrs.evolve(memory, step=step)
        move(objective.params, step, memory.direction)
        memory.store(state, limits.history_size)
        if not left:
            return
        point = there or objective.evaluate()
        if objective.evaluations >= limits.max_eval or limits.is_done(memory, point):
            return


def _aim(memory: Memory | None, point: Point, limits: Limits) -> Memory:
    """Start an iteration at `point`: its direction, and the first step length to try."""
    if memory is None:
        shrink = 1.0 / point.gradient.abs().sum()
        step = limits.lr * shrink if shrink < 1.0 else limits.lr
        return Memory(1, point, point.gradient.neg(), step, History())
    s = memory.direction * memory.step
    y = point.gradient - memory.origin.gradient
    history = memory.history.remember(s, y, limits.history_size)
    direction, alphas = history.descent(point.gradient)
    return Memory(memory.iterations + 1, point, direction, limits.lr, history, tuple(alphas))


def _distance(
    objective: Objective, memory: Memory, slope: Tensor, limits: Limits
) -> tuple[Scalar, Point | None]:
    """Return how far to go, and the point there if finding out has shown it."""
    if limits.line_search_fn is None:
        return memory.step, None
    search = Search(
        probe=objective.along(memory.direction),
        origin=Trial(0.0, memory.origin.loss, slope, memory.origin.gradient),
        reach=magnitude(memory.direction),
        tolerance=limits.tolerance_change,
        max_trials=limits.max_eval - objective.evaluations,
    )
    found = strong_wolfe(search, memory.step)
    return found.step, Point(found.loss, found.gradient)
