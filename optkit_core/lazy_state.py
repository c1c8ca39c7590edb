"""The dict of all parameters' states, which comes into being when somebody asks for it."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol


class Owner(Protocol):
    """What a `State` needs of its optimizer."""

    def complete_state(self) -> None:
        """Let the state hold all that a distributed checkpoint needs."""


class State(defaultdict[Any, dict[str, Any]]):
    """A dict of states by parameter; asking it whether it is empty completes it.

    ``torch.distributed.checkpoint.state_dict`` asks ``if optimizer.state:`` and, where there is
    none, takes a step with zero gradients and zero learning rate, which counts as a step and
    changes norms. Here there is an answer without a step. It completes a state in which some
    parameters have none yet, too: what one run saves, another one has to find. ``len(state)``
    allocates nothing.
    """

    def __init__(self, owner: Owner | None, content: Mapping[Any, dict[str, Any]]) -> None:
        """Start with the states that there are already."""
        super().__init__(dict, content)
        # Weak: a copied state may outlive its optimizer, which else would be kept alive.
        self._owner = (lambda: None) if owner is None else weakref.ref(owner)

    def __bool__(self) -> bool:
        owner = self._owner()
        if owner is not None:
            owner.complete_state()
        return len(self) > 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes a plain defaultdict: a copy belongs to another optimizer."""
        return defaultdict, (dict,), None, None, iter(self.items())

    def __copy__(self) -> State:
        return State(self._owner(), self)

    copy = __copy__
