"""``--set NAME.KEY=VALUE`` and ``--set KEY=VALUE``: hyperparameters from the command line."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from optkit.cli.user_errors import OptionError
from optkit_core.errors import did_you_mean

WORDS = {"true": True, "false": False, "none": None}


def parse_overrides(words: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Sort the values of ``--set`` by optimizer.

    Args:
        words: each ``NAME.KEY=VALUE``.
        names: the optimizers that are compared.

    Returns:
        For each name that is mentioned, its hyperparameters.

    Raises:
        OptionError: the syntax is wrong, or the name isn't compared.

    >>> parse_overrides(["adamax.betas=0.8,0.9", "adamax.lr=1e-2"], ["adamax"])
    {'adamax': {'betas': (0.8, 0.9), 'lr': 0.01}}
    """
    overrides: dict[str, dict[str, Any]] = {}
    for word in words:
        name, key, value = _parts(word)
        if name not in names:
            raise OptionError(
                f"--set {word!r}: {name!r} isn't compared.{did_you_mean(name, names)} "
                f"Compared are {', '.join(names)}."
            )
        overrides.setdefault(name, {})[key] = value
    return overrides


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Return the hyperparameters that the values of ``--set`` give, each ``KEY=VALUE``.

    Raises:
        OptionError: the syntax is wrong.

    >>> parse_settings(["lr=1e-2", "maximize=true"])
    {'lr': 0.01, 'maximize': True}
    """
    settings = {}
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        if not (key.isidentifier() and equals and value):
            raise OptionError(f"--set {word!r}: expected KEY=VALUE, such as lr=0.05.")
        settings[key] = _value(value)
    return settings


def _parts(word: str) -> tuple[str, str, Any]:
    left, equals, value = word.partition("=")
    # The last dot: an algorithm's own name may have dots, a hyperparameter's can't.
    name, _, key = left.strip().rpartition(".")
    if not (name and key.isidentifier() and equals and value.strip()):
        raise OptionError(f"--set {word!r}: expected NAME.KEY=VALUE, such as adagrad.lr=0.05.")
    return name, key, _value(value.strip())


def _value(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        # As it is, like line_search_fn=strong_wolfe; ranges refuse a text that means nothing.
        return text
