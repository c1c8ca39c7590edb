"""Averages over the steps, which most references keep in their state."""

from __future__ import annotations

from references.trajectory import Array, State


def average(s: State, name: str, value: Array, beta: float) -> Array:
    """Return the exponential average of the values so far, which starts from zero."""
    s[name] = beta * s.get(name, 0.0) + (1 - beta) * value
    return s[name]
