"""DTensors whose parts are rows of a table, as they are to stay for the native reader."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from optkit_core import torch_private
from optkit_core.native.shared_structures import WORD, address
from optkit_core.shards.local_part import LocalPart


class WatchedWholes:
    """The DTensors that a table's rows are parts of, as the native reader knows them.

    Args:
        parts: of each row, None for a tensor of its own; empty where no row is a part.
    """

    def __init__(self, parts: Sequence[LocalPart | None]) -> None:
        """Note what is to stay as it is."""
        self._parts = parts
        # Held: an object that has gone could leave its id to another one.
        self._noted = [part and part.noted for part in parts]
        self._placements: list[Any] = [None] * len(parts)
        self._arrays = (
            array("Q", [0 if part is None else id(part.whole) for part in parts]),
            array("Q", [0 if part is None else id(part.noted) for part in parts]),
            array("Q", bytes(WORD * len(parts))),
        )
        self.note_placements()

    @property
    def addresses(self) -> list[int | None]:
        """Where DTensors, their parts and the placements of gradients are noted, if at all."""
        return [address(noted) if self._parts else None for noted in self._arrays]

    def note_placements(self) -> None:
        """Let shares be read of gradients that are placed as the last shown ones were."""
        *_, specs = self._arrays
        for row, part in enumerate(self._parts):
            if part is not None:
                self._placements[row] = part.fitting
                specs[row] = 0 if part.fitting is None else id(part.fitting)

    def hints(self, rows: int, each: int) -> array[int]:
        """Return room for addresses that rows' reading needs; that of a DTensor never changes.

        Args:
            rows: how many.
            each: addresses of a row; one that may be a part has three more.
        """
        if not self._parts:
            return array("Q", bytes(WORD * rows * each))
        noted = array("Q", bytes(WORD * rows * (each + 3)))
        for row, part in enumerate(self._parts):
            if part is not None:
                noted[row * (each + 3) + each] = torch_private.implementation_of(part.whole)
        return noted
