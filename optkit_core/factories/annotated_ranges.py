"""Ranges from annotations: what a class or function says of its arguments by their types."""

from __future__ import annotations

import numbers
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from optkit_core.declaration.ranges import Range, converter, one_of
from optkit_core.param_groups.builtin_values import is_real, number
from optkit_core.param_groups.spelling import got


@attrs.frozen(eq=False, repr=False)
class OfType:
    """Any value of a type."""

    words: str
    is_one: Callable[[Any], bool]

    def __str__(self) -> str:
        return self.words

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        return "" if self.is_one(number(value)) else f"{name} must be {self}, {got(value)}"


@attrs.frozen(eq=False, repr=False)
class AnyOf:
    """Values that one of a few ranges allows."""

    ranges: tuple[Range, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.ranges))

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if self._allowing(name, value):
            return ""
        return f"{name} must be {self}, {got(value)}"

    def converted(self, value: Any) -> Any:
        """Return the value as the range that allows it keeps it."""
        return converter(self._allowing("value", value)[0])(value)

    def _allowing(self, name: str, value: Any) -> list[Range]:
        return [range for range in self.ranges if not range.complaint(name, value)]


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


TYPES = {
    bool: OfType("True or False", lambda value: isinstance(value, bool)),
    int: OfType("a whole number", _is_whole),
    float: OfType("a number", is_real),
    str: OfType("a text", lambda value: isinstance(value, str)),
    None: OfType("None", lambda value: value is None),
    type(None): OfType("None", lambda value: value is None),
}
"""What the types allow that a configuration can write."""


def range_of(annotation: Any) -> Range | None:
    """Return what an annotation allows, None where that can't be told.

    Args:
        annotation: a type; a range in ``Annotated[...]`` comes before all others.

    >>> str(range_of(int | None))
    'a whole number or None'
    >>> from optkit_core import whole
    >>> str(range_of(Annotated[int, whole(1)]))
    'whole, ≥ 1'
    """
    if get_origin(annotation) is Annotated:
        kind, *said = get_args(annotation)
        return next((item for item in said if hasattr(item, "complaint")), None) or range_of(kind)
    if get_origin(annotation) is Literal:
        return one_of(*get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        ranges = [range_of(member) for member in get_args(annotation)]
        known = tuple(range for range in ranges if range is not None)
        return AnyOf(known) if len(known) == len(ranges) else None
    try:
        return TYPES.get(annotation)
    except TypeError:  # not hashable
        return None


def doc_of(annotation: Any) -> str:
    """Return the phrase in ``Annotated[...]``, or an empty string.

    >>> doc_of(Annotated[int, "how many steps"])
    'how many steps'
    """
    said = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((item for item in said if isinstance(item, str)), "")
