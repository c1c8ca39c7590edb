"""Errors for texts that can't be parsed."""

from __future__ import annotations

from optkit_core.errors import ConfigFault, ConfigFileError


def syntax_error(name: str, line: int | None, words: str) -> ConfigFileError:
    """Return the error for a text that can't be parsed.

    Args:
        name: of the file.
        line: where, from 1; None where it isn't known.
        words: what is wrong.
    """
    place = f"{name}:{line}" if line else name
    return ConfigFileError(f"{place}: {words}", (ConfigFault("", line, words),))
