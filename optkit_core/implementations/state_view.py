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

    Args:
        is_new: whether the step is the one in which buffers come into being that the body sets.
    """

    # Beside `__dict__`, which holds the buffers and nothing else.
    __slots__ = ("__dict__", "is_new")

    def __init__(self, is_new: bool = False) -> None:
        """Show nothing yet."""
        object.__setattr__(self, "is_new", is_new)

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
