"""TOML: read by tomllib; the line of a key is found by reading the first lines alone."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath, holds
from optkit_core.config_file.syntax_errors import line_of_long_number, syntax_error

CLOSERS = ("", "]", "]]", "]]]")
"""What may end the lists that are open at the end of a line; tables in them end on their line."""

PLACE = re.compile(r" \(at line (\d+), (column \d+)\)$")
"""How tomllib's messages end; the line stands before ours."""


def parse(text: str, name: str) -> Document:
    """Return what a TOML text says.

    Args:
        text: the text.
        name: of the file, for messages.

    Raises:
        ConfigFileError: it isn't TOML.
    """
    import tomllib  # needed only where there is a file

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = PLACE.search(str(error))
        line = int(place[1]) if place else text.count("\n") + 1
        message = PLACE.sub(r" (\2)", str(error))
        raise syntax_error(name, line, f"isn't TOML: {message}.") from error
    except (ValueError, OverflowError) as error:  # a number of too many digits
        line_of_number = line_of_long_number(text)
        raise syntax_error(
            name, line_of_number, f"isn't TOML that can be used: {error}."
        ) from error
    return Document(data, name, partial(line_of, text))


def line_of(text: str, path: KeyPath) -> int | None:
    r"""Return the line on which a path stands, or the part of it that is there.

    The first lines of a text are TOML too; the fewest that hold the path end on its line.

    Args:
        text: TOML.
        path: keys and positions.

    >>> line_of("a = 1\n\n[b]\nc = [\n  2,\n  3,\n]", ("b", "c", 1))
    6
    """
    lines = text.split("\n")
    whole = _parsed(lines)
    while path and not holds(whole, path):
        path = path[:-1]
    return _first_line(lines, path) if path else None


def _first_line(lines: list[str], path: KeyPath) -> int:
    """Return how many lines it takes to hold a path, by bisection."""
    # No part of `low` lines holds it; of `high` and more none does, but for `found`.
    low, high, found = 0, len(lines) + 1, len(lines)
    while high - low > 1:
        middle = (low + high) // 2
        parsed = ((count, _parsed(lines[:count])) for count in range(middle, high))
        count, data = next(((n, data) for n, data in parsed if data is not None), (high, None))
        if data is not None and not holds(data, path):
            low = count
        else:
            found, high = (found if data is None else count), middle
    return found


def _parsed(lines: list[str]) -> dict[str, Any] | None:
    """Return what some lines say, None where they end within a value that can't be closed."""
    import tomllib

    for closer in CLOSERS:
        try:
            return tomllib.loads("\n".join([*lines, closer]))
        except (ValueError, RecursionError):
            continue
    return None
