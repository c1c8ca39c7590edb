"""What the keys of a rule may be, as ranges: texts, numbers of dimensions, patterns in order."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from optkit_core.param_groups.spelling import got


class Text:
    """One text that isn't empty."""

    def __str__(self) -> str:
        return "text"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        is_text = isinstance(value, str) and value
        return "" if is_text else f"{name} must be a text, got {value!r:.60}."


class Texts:
    """One text, or several in a list."""

    def __str__(self) -> str:
        return "text or list of texts"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if value and all(isinstance(item, str) and item for item in _several(value)):
            return ""
        return f"{name} must be a text or a list of texts, got {value!r:.60}."

    def converted(self, value: Any) -> tuple[str, ...]:
        """Return the texts in a tuple."""
        return tuple(map(str, _several(value)))


class Dimensions:
    """One number of dimensions, or several in a list."""

    def __str__(self) -> str:
        return "whole number or list of them"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if _several(value) and all(map(_is_count, _several(value))):
            return ""
        return f"{name} must be a whole number of dimensions or a list of them, {got(value)}"

    def converted(self, value: Any) -> tuple[int, ...]:
        """Return the numbers in a tuple."""
        return tuple(map(int, _several(value)))


class PatternsInOrder:
    """A list whose entries are patterns, or lists of patterns that share a place in it."""

    def __str__(self) -> str:
        return "list of patterns, or of lists of patterns"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        is_list = isinstance(value, Sequence) and not isinstance(value, str) and value
        if not is_list:
            return f"{name} must be a list of patterns, from the lowest depth on, {got(value)}"
        complaints = (Texts().complaint(f"{name}[{i}]", item) for i, item in enumerate(value))
        return next(filter(None, complaints), "")

    def converted(self, value: Any) -> tuple[tuple[str, ...], ...]:
        """Return the patterns of each place in a tuple."""
        return tuple(Texts().converted(item) for item in value)


def _several(value: Any) -> Sequence[Any]:
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    return value if is_list else [value]


def _is_count(value: Any) -> bool:
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_whole and int(value) >= 0
