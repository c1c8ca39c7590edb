"""Ranges of the hyperparameters that only L-BFGS has."""

from __future__ import annotations

import math
from typing import Any

import torch

from optkit_core import at_least, choice
from optkit_plugins.lbfgs.searches import SEARCHES

TOLERANCE = at_least(-math.inf, infinite=True)
"""Infinity ends a step at once, and what is negative never does."""

NAMES = choice([None, *SEARCHES])
SIZES = choice([5, 10, 20, 50, 100])
"""Where good line searches and sizes of the history are searched."""

FLOATING = ("float64", "float32", "bfloat16", "float16")


class SearchRange:
    """None, the name of a line search, or one that is called."""

    def __str__(self) -> str:
        return " | ".join(["None", *map(repr, SEARCHES), "a function"])

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if value is None or callable(value) or (isinstance(value, str) and value in SEARCHES):
            return ""
        return (
            f"{name} must be one of {self}, got {value!r:.80}. [only 'strong_wolfe' is supported]"
        )

    def json_schema(self) -> dict[str, Any]:
        """Return what a configuration file may say: a name."""
        return {"enum": [*SEARCHES, None]}

    def saved(self, value: Any) -> Any:
        """Return what stands for `value` in a checkpoint: a name, for a function its own."""
        if not callable(value):
            return value
        return f"function {getattr(value, '__qualname__', None) or repr(value)}"

    def restored(self, value: Any, live: Any) -> Any:
        """Return the value that a saved one stands for; functions stay where they are."""
        return live if callable(live) and self.saved(live) == value else value


class DtypeRange:
    """None, or a floating dtype, by itself or by its name."""

    def __str__(self) -> str:
        return " | ".join(["None", *FLOATING])

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if value is None or self.saved(value) in FLOATING:
            return ""
        return f"{name} must be one of {self}, got {value!r:.80}."

    def json_schema(self) -> dict[str, Any]:
        """Return what a configuration file may say: a name."""
        return {"enum": [*FLOATING, None]}

    def saved(self, value: Any) -> Any:
        """Return the name of a dtype."""
        return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value

    def restored(self, value: Any, live: Any) -> Any:
        """Return the value that a saved one stands for."""
        return value


class ProcessGroupRange:
    """None, or a group of processes that this one is in."""

    def __str__(self) -> str:
        return "None | a ProcessGroup"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        dist = torch.distributed
        if value is None or (dist.is_available() and isinstance(value, dist.ProcessGroup)):
            return ""
        return f"{name} must be one of {self}, such as dist.group.WORLD, got {value!r:.80}."

    def json_schema(self) -> dict[str, Any]:
        """Return what a configuration file may say: nothing."""
        return {"enum": [None]}

    def saved(self, value: Any) -> Any:
        """Return None: a group is of this run."""
        return None

    def restored(self, value: Any, live: Any) -> Any:
        """Return the group that is there."""
        return live
