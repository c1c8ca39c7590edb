"""The groups of an optimizer that have been looked at since it was made or told to plan anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optkit_core.param_groups import groups
from optkit_core.shards.placements import are_any_distributed


class KnownGroups:
    """How many groups there were, so that a step looks at parameters only where more have come.

    Attributes:
        are_shared: whether there is a DTensor among their parameters.
    """

    def __init__(self) -> None:
        """Know none."""
        self._count = 0
        self.are_shared = False

    def look_at(self, param_groups: Sequence[Mapping[str, Any]]) -> None:
        """Look at the parameters of all groups, unless there are as many as before.

        Args:
            param_groups: of the optimizer, as they are now.

        Raises:
            GroupError: parameters share memory.
        """
        if self._count != len(param_groups):
            groups.require_no_overlap(param_groups)
            self._count = len(param_groups)
            self.are_shared = are_any_distributed(param_groups)
