"""What settings of a configuration may be, beside numbers: text, and a list of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from optkit_core.param_groups.spelling import got


@attrs.frozen(eq=False, repr=False)
class SettingText:
    """A text that isn't empty; `meant` is an example of one."""

    meant: str

    def __str__(self) -> str:
        return f"text, {self.meant!r} for example"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if isinstance(value, str) and value.strip():
            return ""
        return f"{name} must be {self}, {got(value)}"


class Tables:
    """A list of tables."""

    def __str__(self) -> str:
        return "a list of tables"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if not isinstance(value, list | tuple):
            return f"{name} must be {self}, {got(value)}"
        wrong = (i for i, item in enumerate(value) if not isinstance(item, Mapping))
        position = next(wrong, None)
        if position is None:
            return ""
        return f"{name}[{position}] must be a table, {got(value[position])}"
