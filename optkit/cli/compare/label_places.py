"""Places of labels in a column, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence


def spread(wanted: Sequence[float], room: float) -> list[float]:
    """Return places in the order of the wanted ones, at least so far from each other.

    Labels that would overlap move apart together, about the middle of where they want to be.

    Args:
        wanted: where each is to be, from 0 to 1.
        room: how much each needs.

    >>> spread([0.5, 0.9, 0.5], 0.1)
    [0.45, 0.9, 0.55]
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    places = [0.0] * len(wanted)
    for block in _blocks([wanted[index] for index in order], room):
        start = _start(block, room)
        for offset in range(len(block)):
            places[order.pop(0)] = start + (offset + 0.5) * room
    return places


def _blocks(ascending: Sequence[float], room: float) -> list[list[float]]:
    """Return runs of labels that would overlap, and so stand close together."""
    blocks: list[list[float]] = []
    for place in ascending:
        block = [place]
        while blocks and _start(blocks[-1], room) + len(blocks[-1]) * room > _start(block, room):
            block = [*blocks.pop(), *block]
        blocks.append(block)
    return blocks


def _start(block: Sequence[float], room: float) -> float:
    """Return where a run begins: about the middle of what is wanted, and within 0 and 1."""
    half = len(block) * room / 2
    middle = sum(block) / len(block)
    # Half a label may stand out at either end, beside the first and the last tick.
    return max(-room / 2, min(middle - half, 1 + room / 2 - 2 * half))
