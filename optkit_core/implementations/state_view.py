"""The view through which an update body sees the buffers of what it updates."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

_NONE: Mapping[str, Any] = MappingProxyType({})


class Cell(Protocol):
    """What holds a scalar buffer's number."""

    value: Any

    def assign(self, value: Any) -> None:
        """Take another number."""


class StateView:
    """Buffers as attributes. Tensors are updated in place, and scalars assigned.

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

    # Beside `__dict__`, which holds the tensors and nothing else.
    __slots__ = ("__dict__", "_cells", "is_new")

    def __init__(self, is_new: bool = False) -> None:
        """Show nothing yet."""
        object.__setattr__(self, "is_new", is_new)
        self.show({})

    def show(self, buffers: Mapping[str, Any], cells: Mapping[str, Cell] = _NONE) -> None:
        """Show these buffers from now on.

        Args:
            buffers: the tensors by name.
            cells: the scalar buffers by name.
        """
        if cells:  # they are looked for among attributes that aren't there
            buffers = {name: value for name, value in buffers.items() if name not in cells}
        # The dict itself: one view serves all parameters, each at the cost of an assignment.
        object.__setattr__(self, "__dict__", buffers)
        object.__setattr__(self, "_cells", cells)

    def __getattr__(self, name: str) -> Any:
        """Return the number that a scalar buffer holds now."""
        if name in self._cells:
            return self._cells[name].value
        raise AttributeError(f"s.{name} isn't a buffer that the parameter has")

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse another tensor; ``s.total += g`` assigns the same one, which is fine."""
        if name in self._cells:
            self._cells[name].assign(value)
        elif self.__dict__.get(name) is not value:
            raise AttributeError(
                f"s.{name} can't be assigned; update it in place, as by s.{name}.copy_(...)"
            )
