"""``optkit list``: a row for each algorithm, one that can't be imported included."""

from __future__ import annotations

import optkit
from optkit.cli.user_errors import OptionError
from optkit_core.errors import OptkitError, did_you_mean


def rows(pattern: str) -> list[tuple[str, str, str]]:
    """Describe every algorithm whose name matches.

    Args:
        pattern: a shell pattern, such as ``ada*``.

    Returns:
        For each its name, its summary and the distribution that provides it.

    Raises:
        OptionError: nothing matches.
    """
    names = optkit.available(pattern)
    if not names:
        raise OptionError(
            f"no algorithm matches {pattern!r}.{did_you_mean(pattern, optkit.available())} "
            f"Try '*{pattern.strip('*')}*', or 'optkit list' for all."
        )
    return [_row(name) for name in names]


def _row(name: str) -> tuple[str, str, str]:
    try:
        description = optkit.describe(name)
    except Exception as error:
        # One broken plugin doesn't hide the others.
        kind = "" if isinstance(error, OptkitError) else f"{type(error).__name__}: "
        return name, f"not available: {kind}{error}", ""
    return name, description.summary, f"{description.distribution} {description.version}".strip()
