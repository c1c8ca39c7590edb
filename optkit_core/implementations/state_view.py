"""The view through which an update body sees the buffers of what it updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class StateView:
    """Buffers as attributes. They are updated in place; to assign another is an error.

    >>> view = StateView()
    >>> view.show({"total": 1})
    >>> view.total
    1
    >>> view.total = 2
    Traceback (most recent call last):
        ...
    AttributeError: s.total can't be assigned; update it in place, as by s.total.copy_(...)
    """

    def show(self, buffers: Mapping[str, Any]) -> None:
        """Show these buffers from now on."""
        # The dict itself: one view serves all parameters, each at the cost of an assignment.
        object.__setattr__(self, "__dict__", buffers)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse another value; ``s.total += g`` assigns the same one, which is fine."""
        if self.__dict__.get(name) is not value:
            raise AttributeError(
                f"s.{name} can't be assigned; update it in place, as by s.{name}.copy_(...)"
            )
