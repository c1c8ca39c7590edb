"""Broken steps: what ranks are told where one of them has failed in the middle of a step."""

from __future__ import annotations

BROKEN = (
    "This step was broken off on this rank, and may have been on others: parameters, buffers and "
    "counts of steps may have taken a part of it, each rank another one. Go on from a checkpoint, "
    "on all ranks."
)


def tell(error: BaseException) -> None:
    """Add to an error what has become of the step.

    Args:
        error: raised while ranks step DTensors; before that, all of them are as they were.
    """
    if BROKEN not in getattr(error, "__notes__", ()):
        error.add_note(BROKEN)
