"""What an optimizer does when it is copied or pickled, and when it comes to life again."""

from __future__ import annotations

from typing import Any, Self, SupportsIndex

import torch

from optkit_core.copying import after_unpickling, copies, pickles


class Copyable(torch.optim.Optimizer):
    """Copies and pickles that keep hooks and attributes; a base of `Optimizer`."""

    def __copy__(self) -> Self:
        """Return an optimizer of the same groups and state, with hook tables of its own."""
        return copies.shallow(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return an optimizer that shares nothing with this one, with the same hooks."""
        return copies.deep(self, memo)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Return what a pickle holds: every attribute and hook that can be pickled."""
        return pickles.picklable(self, super().__reduce_ex__(protocol), int(protocol))

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take along; a subclass may take something out."""
        return copies.attributes(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take in what `__getstate__` of this version or an older one returned."""
        for name, value in state.items():
            setattr(self, name, value)  # some may be slots
        super().__setstate__({})
        after_unpickling.revive(self)
