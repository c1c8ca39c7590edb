"""How the words of an option become a value, or a complaint that names the value."""

from __future__ import annotations

import math
from collections.abc import Callable

import typer

# NumPy's largest, by which scikit-learn splits the rows; torch alone would take larger ones.
LARGEST_SEED = 2**32 - 1


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers.

    Args:
        least: the smallest number allowed.
        most: the largest number allowed.

    Returns:
        A function from the option's text to the number; it raises `typer.BadParameter`.

    >>> whole_number(1, 9)("7")
    7
    """

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            # Outside the range whatever it is, so that one complaint serves both faults.
            number = least - 1
        if least <= number <= most:
            return number
        raise typer.BadParameter(f"{text!r} isn't a whole number from {least} to {most}.")

    return parse


def seconds(text: str) -> float:
    """Return a number of seconds.

    Args:
        text: the option's text.

    Raises:
        typer.BadParameter: it isn't a number above 0.

    >>> seconds("0.5")
    0.5
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if 0 < number < math.inf:
        return number
    raise typer.BadParameter(f"{text!r} isn't a number of seconds above 0.")


def implementation(text: str) -> str:
    """Return the name of an implementation, one that a plugin adds included.

    Args:
        text: the option's text.

    Raises:
        typer.BadParameter: no algorithm has one of that name.

    >>> implementation("foreach")
    'foreach'
    """
    from optkit_core.errors import ConfigError
    from optkit_core.selection import requests

    try:
        requests.parse(text, "the option")
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def one_of(*names: str) -> Callable[[str], str]:
    """Return a parser that lets the given names pass.

    Args:
        names: what is allowed.

    Returns:
        A function from the option's text to itself; it raises `typer.BadParameter`.
    """

    def parse(text: str) -> str:
        if text in names:
            return text
        raise typer.BadParameter(f"{text!r} isn't one of {', '.join(names)}.")

    return parse
