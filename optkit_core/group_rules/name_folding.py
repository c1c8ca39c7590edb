"""Many names of parameters in few words: ``blocks.{0..11}.norm.{weight,bias}``."""

from __future__ import annotations

from collections.abc import Iterable

Alternatives = tuple[tuple[str, ...], ...]
"""For each part of a name, between its dots, what may stand there."""


def folded(names: Iterable[str]) -> list[str]:
    """Return names with those in one that differ in a number or in their last part alone.

    Args:
        names: as ``named_parameters`` has them.

    Returns:
        Names in the order of their first; they stand for exactly those that were given.

    >>> folded(f"layers.{i}.{name}" for i in (0, 1, 2, 5) for name in ("weight", "bias"))
    ['layers.{0..2,5}.{weight,bias}']
    """
    entries: list[Alternatives] = [tuple((part,) for part in name.split(".")) for name in names]
    longest = max(map(len, entries), default=0)
    # From the right, since the numbers of what is inside differ from stage to stage.
    for position in reversed(range(longest)):
        entries = _merged(entries, position, only_numbers=True)
    for length in sorted({len(entry) for entry in entries} - {1}):
        entries = _merged(entries, length - 1, only_last=True)
    return [".".join(map(_written, entry)) for entry in entries]


def shortened(names: Iterable[str], most: int = 8) -> str:
    """Return names, folded, in a text; of more than `most` those that come first.

    >>> shortened(["a.0", "a.1", "b", "c"], most=2)
    'a.{0..1}, b and 1 more'
    """
    texts = folded(names)
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest} more" if rest > 0 else "")


def _merged(
    entries: list[Alternatives],
    position: int,
    *,
    only_numbers: bool = False,
    only_last: bool = False,
) -> list[Alternatives]:
    """Return entries with those in one that differ at a position alone."""
    merged: dict[object, list[str]] = {}
    places: dict[object, Alternatives] = {}
    for entry in entries:
        is_there = len(entry) == position + 1 if only_last else len(entry) > position
        if is_there and only_numbers:
            is_there = all(part.isdecimal() for part in entry[position])
        key = (entry[:position], entry[position + 1 :]) if is_there else entry
        places.setdefault(key, entry)
        merged.setdefault(key, []).extend(entry[position] if is_there else ())
    return [
        (*entry[:position], tuple(dict.fromkeys(merged[key])), *entry[position + 1 :])
        if merged[key]
        else entry
        for key, entry in places.items()
    ]


def _written(parts: tuple[str, ...]) -> str:
    if len(parts) == 1:
        return parts[0]
    if not all(part.isdecimal() for part in parts):
        return f"{{{','.join(parts)}}}"
    spans: list[list[int]] = []
    for number in sorted(map(int, parts)):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = (str(a) if a == b else f"{a}..{b}" for a, b in spans)
    return f"{{{','.join(texts)}}}"
