"""Shell patterns for names of parameters, with ``{}`` for a number."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache

NUMBER = "{}"
"""What stands for a number in a pattern."""


def numbers_in(names: Iterable[str], pattern: str) -> tuple[int, ...] | None:
    """Return the numbers that a pattern finds in the first name that it fits, None if in none.

    Args:
        names: of one parameter.
        pattern: a shell pattern. ``*`` goes across dots, ``{}`` stands for a number, and a leading
            ``*.`` fits a name without dots too, so that ``*.bias`` is every bias.

    >>> numbers_in(["blocks.3.norm.bias"], "blocks.{}.*"), numbers_in(["bias"], "*.bias")
    ((3,), ())
    """
    expression = _compiled(pattern)
    found = next(filter(None, map(expression.fullmatch, names)), None)
    return None if found is None else tuple(map(int, found.groups()))


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    is_anywhere = pattern.startswith("*.")
    pieces = pattern.removeprefix("*." if is_anywhere else "").split(NUMBER)
    # What `translate` puts around a pattern: (?s:...) and \Z, or \z from Python 3.14 on.
    bodies = [fnmatch.translate(p).removeprefix("(?s:").rpartition(")")[0] for p in pieces]
    start = r"(?:.*\.)?" if is_anywhere else ""
    return re.compile(f"(?s:{start}{'([0-9]+)'.join(bodies)})")
