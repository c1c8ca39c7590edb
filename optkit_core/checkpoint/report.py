"""Reports: what loading a checkpoint has done, or everything that keeps it from being loaded."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

MOST_LINES = 20


@attrs.frozen
class LoadReport:
    """What ``load_state_dict`` has done; prints as text.

    Args:
        loaded: the parameters whose state was loaded, by name or position.
        missing: what the optimizer has and the checkpoint hasn't.
        unexpected: what the checkpoint has and the optimizer hasn't.
        shape_mismatched: parameters whose saved state is of another shape.
        migrated: the migrations and importers that were applied, in order.
    """

    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shape_mismatched: tuple[str, ...] = ()
    migrated: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"loaded the state of {len(self.loaded)} parameters"]
        for title in ("missing", "unexpected", "shape_mismatched", "migrated"):
            found = getattr(self, title)
            lines += [f"{title.replace('_', ' ')}: {len(found)}"] if found else []
            lines += [f"  {line}" for line in screenful(found)]
        return "\n".join(lines)


def screenful(lines: Sequence[str]) -> list[str]:
    """Return at most a screen of lines; the last one counts those left out."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    return [*lines[:MOST_LINES], f"... and {len(lines) - MOST_LINES} more"]
