"""Paths of keys in a configuration, as messages spell them: ``optimizer.groups[1].lr``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys of tables and positions in lists, from the root of a configuration."""

BARE = re.compile(r"[\w-]+")
"""Keys that need no quotes, in TOML too."""


def spelled(path: KeyPath) -> str:
    """Return a path as messages have it, ``""`` for the root.

    >>> spelled(("optimizer", "groups", 1, "lr")), spelled(("implementation", "*"))
    ('optimizer.groups[1].lr', 'implementation."*"')
    """
    parts = [f"[{key}]" if isinstance(key, int) else f".{_quoted(key)}" for key in path]
    return "".join(parts).removeprefix(".")


def parsed(text: str) -> KeyPath:
    """Return the path that a text of plain keys spells.

    >>> parsed("schedules[1].T_max")
    ('schedules', 1, 'T_max')
    """
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", text)
    return tuple(int(position) if position else key for position, key in parts)


def holds(data: Any, path: KeyPath) -> bool:
    """Return whether a configuration has something at a path."""
    for key in path:
        if isinstance(data, Mapping):
            if key not in data:
                return False
        elif not (isinstance(data, list | tuple) and isinstance(key, int) and key < len(data)):
            return False
        data = data[key]
    return True


def _quoted(key: object) -> str:
    text = str(key)
    # As Python writes it, a key with a line break or half of a pair of UTF-16 stays printable.
    return text if BARE.fullmatch(text) else f'"{repr(text)[1:-1]:.80}"'
