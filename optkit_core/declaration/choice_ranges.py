"""Ranges of a few values: those that are listed, or True and False."""

from __future__ import annotations

from typing import Any

import attrs

from optkit_core.param_groups.builtin_values import plain
from optkit_core.param_groups.spelling import got, unquoted


@attrs.frozen(eq=False, repr=False)
class OneOf:
    """One of a few values; `in_torch` is what torch.optim says of another one."""

    values: tuple[Any, ...]
    in_torch: str = ""

    def __str__(self) -> str:
        return " | ".join(repr(value) for value in self.values)

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if self._equal(value):
            return ""
        words = f" [{self.in_torch.format(unquoted(value))}]" if self.in_torch else ""
        return f"{name} must be one of {self}, {got(value)}{words}"

    def converted(self, value: Any) -> Any:
        """Return the listed value that is equal to `value`."""
        return self._equal(value)[0]

    def _equal(self, value: Any) -> list[Any]:
        # Types are compared too, since True == 1 == 1.0 and each may be meant by itself.
        given = plain(value)
        return [
            item
            for item in self.values
            if given is item or (type(given) is type(item) and given == item)
        ]


class Boolean:
    """True or False, also as 1 or 0 or as a NumPy boolean."""

    def __str__(self) -> str:
        return "True | False"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if value is True or value is False:
            return ""
        is_scalar = isinstance(value, int) or getattr(value, "shape", None) == ()
        if is_scalar and value in (0, 1):
            return ""
        return f"{name} must be True or False, {got(value)}"

    def converted(self, value: Any) -> bool:
        """Return True or False."""
        return bool(value)
