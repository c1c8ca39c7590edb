"""Which optimizers are compared: names by pattern, and why some can't take the task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import optkit
from optkit.cli.user_errors import OptionError
from optkit_core.errors import did_you_mean
from optkit_core.selection.capabilities import capabilities

WILD = frozenset("*?[")


def expanded(words: Iterable[str]) -> tuple[str, ...]:
    """Return the names that some names and patterns stand for, each once.

    Args:
        words: names, or shell patterns such as ``ada*``.

    Raises:
        OptionError: nothing matches a pattern.

    >>> expanded(["adama*", "lbfgs", "adamax"])
    ('adamax', 'lbfgs')
    """
    names: list[str] = []
    for word in words:
        names += _matching(word) if WILD & set(word) else [word]
    return tuple(dict.fromkeys(names))


def unsuited(names: Sequence[str]) -> dict[str, str]:
    """Return which algorithms can't train a network of layers with biases, and why not.

    Args:
        names: the algorithms.

    Raises:
        OptionError: none of them can.
        UnknownAlgorithmError: no algorithm is called that.
    """
    reasons = {name: _reason(optkit.get(name)) for name in names}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    if len(left_out) == len(names):
        raise OptionError(
            "none of them can train this network: "
            + "; ".join(f"{name} {reason}" for name, reason in left_out.items())
            + "."
        )
    return left_out


def _matching(pattern: str) -> list[str]:
    names = optkit.available(pattern)
    if not names:
        hint = did_you_mean(pattern.strip("*"), optkit.available())
        raise OptionError(f"no algorithm matches {pattern!r}.{hint} 'optkit list' gives all names.")
    return names


def _reason(algorithm: Any) -> str:
    able = capabilities(algorithm)
    if able.dense.is_supported is False:
        return "takes sparse gradients only" if able.sparse else f"can't run: {able.dense.reason}"
    dims = able.parameter_dims
    if dims is not None and not {1, 2} <= set(dims):
        return f"takes parameters of {' or '.join(map(str, dims))} dimensions, and biases have 1"
    return ""
