"""The state of a DTensor parameter as an update body sees it: what this rank has of each buffer."""

from __future__ import annotations

from typing import Any

from optkit_core.shards.placements import local_part_of


class LocalState(dict[str, Any]):
    """The local parts of a parameter's buffers, and its numbers, by their names.

    Args:
        whole: the optimizer's own dict. What is put in here is put in there too.
    """

    def __init__(self, whole: dict[str, Any]) -> None:
        """Take the parts; they share their memory with what they are parts of."""
        super().__init__((name, local_part_of(value)) for name, value in whole.items())
        self.whole = whole

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self.whole[name] = value
