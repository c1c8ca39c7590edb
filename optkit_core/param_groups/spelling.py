"""Texts that were meant as values: how YAML, which most of them come from, has them written."""

from __future__ import annotations

import math
import re
from typing import Any

WORDS = {"true": "true", "false": "false", "null": "null", "none": "null"}
"""Values that are words, and how YAML writes them."""

LONGEST = 200
"""Characters of a value that a message shows."""

BEYOND = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
"""How Python and how YAML write what isn't a finite number."""


def got(value: Any) -> str:
    """Return the end of a message about a wrong value, with a way out where it is a text.

    >>> got(-1.0)
    'got -1.0.'
    >>> got("0.1")
    "got '0.1', which is text: write 0.1 without quotes."
    >>> got("1e-3")
    "got '1e-3', which is text, as YAML 1.1 reads 1e-3: write 1.0e-3."
    """
    text = value.strip() if isinstance(value, str) else ""
    written = in_yaml(text)
    if not written:
        return f"got {shown(value)}."
    if written == text.lower():
        return f"got {value!r}, which is text: write {text} without quotes."
    return f"got {value!r}, which is text, as YAML 1.1 reads {text}: write {written}."


def shown(value: Any) -> str:
    """Return a value as messages show it: its beginning, where it is long.

    >>> shown("1e-3"), shown(list(range(1000)))[-12:]
    ("'1e-3'", '50, 51, 5...')
    """
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return f"one of type {type(value).__name__} that is too large to be shown"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def unquoted(value: Any) -> str:
    """Return a value as messages of torch have it, a text without quotes.

    >>> unquoted("fast"), unquoted(-1.0)
    ('fast', '-1.0')
    """
    return shown(value) if isinstance(value, int) else str(value)


def without_yaml(message: str) -> str:
    """Return a message that `got` ends for a value from elsewhere than YAML.

    >>> without_yaml(got("1e-3"))
    "got '1e-3', which is text: write 1e-3 without quotes."
    >>> without_yaml(got("none"))
    "got 'none'."
    """
    # Others than YAML have no null, or, as JSON, one that isn't a way out where a number is needed.
    message = re.sub(r", which is text[^:]*: write (null|none)( without quotes)?\.", ".", message)
    way_out = r", as YAML 1\.1 reads (\S+): write \S+\.$"
    return re.sub(way_out, r": write \1 without quotes.", message)


def in_yaml(text: str) -> str:
    """Return how YAML writes the value that a text looks like, ``""`` where it looks like none."""
    if text[:1] in ("(", "["):
        return f"[{text.strip('()[]').lower()}]"
    return WORDS.get(text.lower()) or _number(text.lower())


def _number(text: str) -> str:
    """Return a number as YAML 1.1 has it: with a point, and a sign before the exponent."""
    try:
        value = float(text)
    except ValueError:
        return ""
    if not math.isfinite(value):
        return BEYOND[str(value)]
    digits, e, exponent = text.partition("e")
    if not e:
        return text
    # https://yaml.org/type/float.html: a point and the exponent's sign aren't optional.
    point = "" if "." in digits else ".0"
    sign = "" if exponent[0] in "+-" else "+"
    return f"{digits}{point}e{sign}{exponent}"
