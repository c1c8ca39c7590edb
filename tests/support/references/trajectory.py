"""What a reference is, and where it takes parameters.

A reference is a function of one tensor, written from the paper with NumPy in float64::

    def reference(p, g, s, t, *, lr=…, …): return the new p

with the gradient `g`, its state `s` (a dict, by torch's names, of which it takes `s.get(…)`),
the number of the step `t`, and the published hyperparameters with their published defaults.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = dict[str, Any]
Gradients = Sequence[Sequence[Array | None]]
"""One gradient, or none, for each parameter at each step."""


class Step(Protocol):
    """A step of all parameters: some references look at all of them at once."""

    def __call__(
        self,
        params: list[Array],
        grads: list[Array | None],
        states: list[State],
        **options: Any,
    ) -> list[Array]: ...


def each(reference: Callable[..., Array]) -> Step:
    """Return the step that applies a reference of one tensor to each that has a gradient."""

    @functools.wraps(reference)
    def step(
        params: list[Array], grads: list[Array | None], states: list[State], **options: Any
    ) -> list[Array]:
        moved = []
        for p, g, s in zip(params, grads, states, strict=True):
            if g is not None:
                s["step"] = s.get("step", 0) + 1
            moved.append(p if g is None else reference(p, g, s, s["step"], **options))
        return moved

    return step


def hyperparameters(step: Step) -> dict[str, Any]:
    """Return the published hyperparameters of a reference and their defaults."""
    parameters = inspect.signature(step).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def steps(
    step: Step, params: Sequence[Array], gradients: Gradients, **options: Any
) -> Iterator[tuple[list[Array], list[State]]]:
    """Yield parameters and states after each step of a reference."""
    sign = -1.0 if options.pop("maximize", False) else 1.0
    current: list[Array] = list(params)
    states: list[State] = [{} for _ in params]
    for grads in gradients:
        signed = [None if g is None else sign * g for g in grads]
        current = step(current, signed, states, **options)
        yield current, states
