"""Ranges of arguments that are no single numbers: values for each group, milestones, functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from optkit_core.declaration.ranges import Range, converter
from optkit_core.param_groups.builtin_values import is_array
from optkit_core.param_groups.spelling import got


@attrs.frozen(eq=False, repr=False)
class PerGroup:
    """One value for all parameter groups, or a list or tuple of one for each."""

    range: Range

    def __str__(self) -> str:
        return f"{self.range}, or one for each group"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if not isinstance(value, (list, tuple)):
            return self.range.complaint(name, value)
        wrong = (self.range.complaint(f"{name}[{i}]", item) for i, item in enumerate(value))
        return next(filter(None, wrong), "")

    def complaint_of_length(self, name: str, value: Any, groups: int) -> str:
        """Return what is wrong with a list of values for this many groups, or an empty string."""
        if not isinstance(value, (list, tuple)) or len(value) == groups:
            return ""
        return f"{name} must be one value, or {groups}, one for each group, got {len(value)}."

    def converted(self, value: Any) -> Any:
        """Return the value, or a list of values, as they are kept."""
        convert = converter(self.range)
        return list(map(convert, value)) if isinstance(value, (list, tuple)) else convert(value)


@attrs.frozen(eq=False, repr=False)
class Rising:
    """A list of values in a range, none smaller than the one before it."""

    range: Range

    def __str__(self) -> str:
        return f"a rising list, each {self.range}"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        if not is_list and not is_array(value):
            return f"{name} must be a list of values, {got(value)}"
        wrong = (self.range.complaint(f"{name}[{i}]", item) for i, item in enumerate(value))
        found = next(filter(None, wrong), "")
        if not found and list(value) != sorted(value):
            return f"{name} must rise, {got(list(value))}"
        return found

    def converted(self, value: Any) -> list[Any]:
        """Return the values in a list."""
        return list(map(converter(self.range), value))


@attrs.frozen(eq=False, repr=False)
class Function:
    """Something that can be called, and None where `optional`."""

    optional: bool = False

    def __str__(self) -> str:
        return f"a function{' or None' if self.optional else ''}"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if callable(value) or (value is None and self.optional):
            return ""
        return f"{name} must be {self}, {got(value)}"

    def converted(self, value: Any) -> Any:
        """Return the function itself."""
        return value


def per_group(range: Range) -> PerGroup:
    """Allow one value for all parameter groups, or a list or tuple of one for each.

    Args:
        range: what each value must be.

    >>> from optkit_core import at_least
    >>> per_group(at_least(0.0, torch_words=None)).complaint("max_lr", [0.1, -0.1])
    'max_lr[1] must be in [0, inf), got -0.1.'
    """
    return PerGroup(range)


def rising(range: Range) -> Rising:
    """Allow a list of values, none smaller than the one before it.

    Args:
        range: what each value must be.

    >>> from optkit_core import whole
    >>> rising(whole(1)).complaint("milestones", [30, 20])
    'milestones must rise, got [30, 20].'
    """
    return Rising(range)


def function(*, optional: bool = False) -> Function:
    """Allow what can be called, and None where `optional`.

    Args:
        optional: whether None is allowed too (default False).
    """
    return Function(optional)
