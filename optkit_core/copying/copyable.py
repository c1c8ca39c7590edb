"""What Python asks of an object that is copied or pickled: how it becomes another one."""

from __future__ import annotations

from typing import Any, Self, SupportsIndex

import torch


class Copyable(torch.optim.Optimizer):
    """An optimizer whose copies and pickles keep its hooks, its attributes and its request."""

    def __copy__(self) -> Self:
        """Return an optimizer of the same groups and state, with hook tables of its own."""
        from optkit_core.copying import copies

        twin: Self = copies.shallow(self)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return an optimizer that shares nothing with this one, with the same hooks."""
        from optkit_core.copying import copies

        twin: Self = copies.deep(self, memo)
        return twin

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Return what a pickle holds: every attribute and hook that can be pickled."""
        from optkit_core.copying import pickles

        reduced = super().__reduce_ex__(protocol)
        return pickles.picklable(self, reduced, int(protocol))

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take along; a subclass may take something out."""
        from optkit_core.copying import copies

        return copies.attributes(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take in what `__getstate__` of this version or an older one returned."""
        from optkit_core.copying import revival

        for name, value in state.items():
            setattr(self, name, value)  # some may be slots
        super().__setstate__({})
        revival.revive(self)
