"""The stopping rule, and the other hyperparameters of one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from optkit_plugins.lbfgs.searches import SEARCHES
from optkit_plugins.lbfgs.solve.line import LineSearch, Trial
from optkit_plugins.lbfgs.vectors.gradient_info import GradientInfo

RECORDS = tuple({type(search) for search in SEARCHES.values()})

LIKE_TORCH = (None, "strong_wolfe")
"""The searches that torch has, and whose first step is torch's."""

MIN_EVALUATIONS = 4
"""What a line search is left with at least where `max_eval` isn't given."""


def default_max_eval(group: Mapping[str, Any]) -> int:
    """Return what None for `max_eval` stands for: torch's number, more if a search needs it.

    >>> default_max_eval({"max_iter": 3, "line_search_fn": None})
    3
    >>> default_max_eval({"max_iter": 3, "line_search_fn": "hager_zhang"})
    4
    """
    number: int = group["max_iter"] * 5 // 4
    return number if group["line_search_fn"] is None else max(number, MIN_EVALUATIONS)


def fill_in_max_eval(*groups: dict[str, Any]) -> None:
    """Put its number in the place of None for `max_eval`."""
    for group in groups:
        if group["max_eval"] is None:
            group["max_eval"] = default_max_eval(group)


@attrs.frozen(eq=False)
class StepOptions:
    """The hyperparameters of one step, as the groups hold them at its start."""

    lr: float
    max_iter: int
    tolerance_grad: float
    tolerance_change: float
    line_search: LineSearch | None
    initial_step: str

    @classmethod
    def from_groups(cls, groups: Sequence[Mapping[str, Any]]) -> StepOptions:
        """Read the hyperparameters of parameter groups, which differ in the learning rate only.

        The largest of these counts; the blocks' scales see to the others.
        """
        group = groups[0]
        name = group["line_search_fn"]
        return cls(
            lr=max(float(group["lr"]) for group in groups),
            max_iter=group["max_iter"],
            tolerance_grad=group["tolerance_grad"],
            tolerance_change=group["tolerance_change"],
            line_search=SEARCHES[name] if isinstance(name, str) else name,
            initial_step=group["initial_step"] or ("bounded" if name in LIKE_TORCH else "unit"),
        )

    @property
    def tries_first_length(self) -> bool:
        """Whether the first length is sure to be tried first; functions may leave it aside."""
        return self.line_search is None or isinstance(self.line_search, RECORDS)

    def is_minimum(self, point: Trial) -> bool:
        """Whether the gradient is as good as zero."""
        return point.gradient.max_norm <= self.tolerance_grad

    def first_length(self, gradient: GradientInfo, absolute_sum: Callable[[], float]) -> float:
        r"""Return the step length to try where nothing is known of the curvature.

        Args:
            gradient: what is known of it.
            absolute_sum: returns its :math:`\lVert g \rVert_1`.
        """
        if self.initial_step == "bounded":
            return self.lr / max(absolute_sum(), 1.0)
        # The square of a tiny gradient is rounded to 0.
        norm = math.sqrt(gradient.square) or gradient.max_norm
        return self.lr / norm if norm else self.lr
