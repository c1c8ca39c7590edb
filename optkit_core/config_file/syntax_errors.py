"""Errors for texts that can't be parsed."""

from __future__ import annotations

import re
import sys

from optkit_core.errors import ConfigFault, ConfigFileError


def syntax_error(name: str, line: int | None, words: str, *, path: str = "") -> ConfigFileError:
    """Return the error for a text that can't be parsed.

    Args:
        name: of the file.
        line: where, from 1; None where it isn't known.
        words: what is wrong.
        path: of the key that it is about, ``""`` (default) where it is about none.
    """
    place = f"{name}:{line}" if line else name
    return ConfigFileError(f"{place}: {words}", (ConfigFault(path, line, words),))


def line_of_long_number(text: str) -> int | None:
    """Return the line of the first number with more digits than Python reads; None without one.

    Args:
        text: in which Python met such a number.
    """
    digits = sys.get_int_max_str_digits()
    found = re.search(rf"\d(?:_?\d){{{digits}}}", text) if digits else None
    return text.count("\n", 0, found.start()) + 1 if found else None


def repetition(name: str, line: int | None, key: str) -> ConfigFileError:
    """Return the error for a key that stands twice in one table.

    Args:
        name: of the file.
        line: of the second one, from 1; None where it isn't known.
        key: the key.
    """
    return syntax_error(name, line, f"the key {key!r:.80} stands twice here.", path=key)
