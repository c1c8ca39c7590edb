"""Values at the edges of a range: the last that it allows, and the first that it doesn't."""

from __future__ import annotations

import math
from typing import Any

import attrs

from optkit_core.declaration.choice_ranges import Boolean, OneOf
from optkit_core.declaration.fields import Declaration
from optkit_core.declaration.ranges import Range, RealInterval, TupleOf, Whole

NAN, INFINITY = float("nan"), float("inf")
PROBES: tuple[Any, ...] = (-1, 0, 0.5, 1, 2, NAN, None, True, "no such value")
"""What a range is asked about of which nothing is known but what it refuses."""


@attrs.frozen
class Edges:
    """Values at the edges of a range.

    Args:
        inside: those that it allows.
        outside: those that it doesn't.
    """

    inside: list[Any]
    outside: list[Any]


def edges_of(declared: Declaration) -> Edges:
    """Return values at the edges of what is declared.

    Args:
        declared: a hyperparameter or an option.

    >>> from optkit_core import hyperparameter, within
    >>> edges_of(hyperparameter(default=0.5, range=within(0.0, 1.0)))
    Edges(inside=[0.0, 0.9999999999999999], outside=[nan, -5e-324, None, 1.0])
    """
    return _edges(declared.range, declared.default)


def _edges(range: Range, default: Any) -> Edges:
    if isinstance(range, RealInterval):
        return _of_interval(range)
    if isinstance(range, Whole):
        return _of_whole(range)
    if isinstance(range, TupleOf):
        return _of_tuple(range, default)
    if isinstance(range, OneOf):
        return Edges(list(range.values), ["no such value"])
    if isinstance(range, Boolean):
        return Edges([False, True], ["no such value", 2])
    complaints = [range.complaint("value", probe) for probe in PROBES]
    pairs = list(zip(PROBES, complaints, strict=True))
    return Edges([v for v, wrong in pairs if not wrong], [v for v, wrong in pairs if wrong])


def _of_interval(range: RealInterval) -> Edges:
    inside: list[Any] = [] if range.above else [range.low]
    outside: list[Any] = [NAN, range.low] if range.above else [NAN]
    if math.isfinite(range.low) and range.above:
        inside.append(math.nextafter(range.low, INFINITY))
    elif math.isfinite(range.low):
        outside.append(math.nextafter(range.low, -INFINITY))
    (inside if range.optional else outside).append(None)
    if math.isfinite(range.high) and range.closed:
        inside.append(range.high)
        outside.append(math.nextafter(range.high, INFINITY))
    elif math.isfinite(range.high):
        inside.append(math.nextafter(range.high, -INFINITY))
    # Of an open end at infinity, either one, nothing is just inside; a step by the largest float
    # overflows.
    if not range.closed:
        outside.append(range.high)
    return Edges(inside, outside)


def _of_whole(range: Whole) -> Edges:
    inside: list[Any] = [range.low]
    outside: list[Any] = [range.low - 1, range.low + 0.5, NAN]
    (inside if range.optional else outside).append(None)
    if range.high is not None:
        inside.append(range.high)
        outside.append(range.high + 1)
    return Edges(inside, outside)


def _of_tuple(range: TupleOf, default: Any) -> Edges:
    """Return tuples with one entry at an edge, and one entry too few."""
    found = Edges([], [tuple(default[:-1])])
    for position, own in enumerate(range.ranges):
        entries = _edges(own, default[position])
        for values, tuples in ((entries.inside, found.inside), (entries.outside, found.outside)):
            tuples += [(*default[:position], v, *default[position + 1 :]) for v in values]
    return found
