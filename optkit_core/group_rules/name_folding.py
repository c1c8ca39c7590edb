"""Many names of parameters in few words: ``blocks.{0..11}.norm.{weight,bias}``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

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
    # From the right, since the numbers of what is inside differ from stage to stage.
    for position in reversed(range(max(map(len, entries), default=0))):
        entries = _merged(entries, partial(_number_at, position))
    entries = _merged(entries, lambda entry: len(entry) - 1 if len(entry) > 1 else None)
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
    entries: Iterable[Alternatives], place: Callable[[Alternatives], int | None]
) -> list[Alternatives]:
    """Return entries with those in one that differ at one place alone.

    Args:
        entries: the names.
        place: returns where an entry may differ from others, None for one that stays as it is.
    """
    merged: dict[tuple[Alternatives, Alternatives | None], list[str]] = {}
    for entry in entries:
        at = place(entry)
        around = (entry, None) if at is None else (entry[:at], entry[at + 1 :])
        merged.setdefault(around, []).extend(() if at is None else entry[at])
    return [
        before if after is None else (*before, tuple(dict.fromkeys(parts)), *after)
        for (before, after), parts in merged.items()
    ]


def _number_at(position: int, entry: Alternatives) -> int | None:
    is_number = position < len(entry) and all(part.isdecimal() for part in entry[position])
    return position if is_number else None


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
