"""Markup: what generated pages are made of, as lines of reStructuredText."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def shown(picture: str, words: str) -> list[str]:
    """Return a picture, for light pages and for dark ones."""
    return [
        line
        for theme in ("light", "dark")
        for line in (
            f".. image:: pictures/{picture}-{theme}.svg",
            f"   :alt: {words}",
            f"   :class: only-{theme}",
            "",
        )
    ]


def side_by_side(names: Sequence[str], words: str) -> list[str]:
    """Return pictures beside each other, on narrow screens below each other."""
    lines = [".. grid:: 1 1 2 2", "   :padding: 0", ""]
    for name in names:
        lines += ["   .. grid-item::", "", *(f"      {line}" for line in shown(name, words))]
    return lines


def heading(text: str, underline: str) -> list[str]:
    """Return a heading."""
    return [text, underline * len(text), ""]


def code(text: str) -> list[str]:
    """Return a block of Python."""
    return [".. code-block:: python", "", f"   {text}", ""]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for first, *others in (header, *rows):
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return [*lines, ""]


def write(path: Path, lines: Iterable[str]) -> None:
    """Write a file unless it is like that already, so that an unchanged page isn't built anew."""
    text = "\n".join(lines)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
