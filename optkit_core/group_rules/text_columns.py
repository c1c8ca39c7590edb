"""Rows of texts in columns, of which the last one wraps."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence

GAP = "  "
LEAST = 30
"""How wide the last column is at least, however wide the others are."""


def columns(rows: Sequence[Sequence[str]], width: int, right: Collection[int] = (1,)) -> str:
    """Return rows as lines.

    Args:
        rows: the first holds the titles; all are of one length.
        width: how many columns a line has at most, unless a word is longer.
        right: the indices of columns whose texts stand at their right.

    >>> print(columns([("a", "b"), ("1", "one two three")], 12, right=()))
    a  b
    1  one two
       three
    """
    count = len(rows[0]) - 1
    widths = [max(len(row[column]) for row in rows) for column in range(count)]
    rest = max(width - sum(widths) - len(GAP) * count, min(LEAST, width // 2))
    return "\n".join(line for row in rows for line in _lines(row, widths, rest, right))


def _lines(
    row: Sequence[str], widths: Sequence[int], rest: int, right: Collection[int]
) -> Iterator[str]:
    cells = [
        text.rjust(width) if column in right else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=False))
    ]
    texts = textwrap.wrap(row[-1], rest, break_long_words=False, break_on_hyphens=False) or [""]
    for text in texts:
        yield GAP.join([*cells, text]).rstrip()
        cells = [" " * width for width in widths]
