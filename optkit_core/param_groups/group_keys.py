"""Keys of a parameter group beside the declared ones: annotations, and misspelled keys."""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
import warnings
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

import torch

from optkit_core.declaration.base import Declared
from optkit_core.declaration.fields import unknown
from optkit_core.declaration.roles import ANNOTATIONS, role_of
from optkit_core.errors import UnusedGroupKeyWarning

SYNONYMS = {"learning_rate": "lr", "wd": "weight_decay", "epsilon": "eps"}
"""What other libraries call a hyperparameter, which would have no effect under that name."""

SHORT_NAME = 3
"""Names of no more letters, ``lr`` and ``l1``, are too alike to correct one letter to another."""

WITHIN = frozenset({"optkit", "optkit_core", "optkit_plugins", "torch"})
"""Packages whose lines a warning doesn't point to."""


def check(owner: type[Declared], group: Mapping[str, Any]) -> None:
    """Refuse keys that are misspelled declared names, and warn once of others that nobody knows.

    Args:
        owner: the optimizer's class.
        group: a parameter group.

    Raises:
        UnknownHyperparameterError: a key is almost a declared name.
    """
    unknown_keys = [key for key in group if role_of(key, owner.declarations) is None]
    for key in unknown_keys:
        meant = misspelled_name(key, owner.declarations)
        if meant:
            name, hint = f"a parameter group of {owner.__name__}", f" Did you mean {meant!r}?"
            raise unknown(name, key, group[key], hint, owner.declarations)
    new = [key for key in unknown_keys if key not in owner.known_annotations]
    if new:
        warnings.warn(
            f"a parameter group has {', '.join(map(repr, new))}, which {owner.__name__} keeps "
            "there and doesn't use.",
            UnusedGroupKeyWarning,
            stacklevel=_stacklevel(),
        )
        # Once for each class: every optimizer of a sweep has the same keys.
        owner.known_annotations.update(new)


def misspelled_name(key: Any, declared: Iterable[str]) -> str:
    """Return the declared name that a key misspells, or ``""``.

    A name made from a declared one, ``lr_mult`` or ``decoupled_weight_decay``, is none, nor is one
    that an optimizer of torch's takes, ``etas`` for example.

    Args:
        key: a key of a group.
        declared: the declared names.

    >>> misspelled_name("lrr", ["lr", "betas"]), misspelled_name("lr_mult", ["lr", "betas"])
    ('lr', '')
    """
    if not isinstance(key, str) or key in ANNOTATIONS:
        return ""
    given = key.lower()
    close = (
        name for name in declared if SYNONYMS.get(given) == name or is_misspelling(given, name)
    )
    meant = next(close, "")
    return "" if meant and key in torchs_arguments() else meant


def is_misspelling(given: str, name: str) -> bool:
    """Return whether one letter is missing, too many or another, or two have changed places.

    Args:
        given: what somebody wrote.
        name: what may have been meant.

    >>> [is_misspelling(given, "betas") for given in ("beta", "bettas", "beta1", "beats", "alphas")]
    [True, True, True, True, False]
    """
    start = _shared_start(given, name)
    end = _shared_start(given[start:][::-1], name[start:][::-1])
    typed, meant = given[start : len(given) - end], name[start : len(name) - end]
    if len(typed) <= 1 and len(meant) <= 1:
        return not meant or len(name) > SHORT_NAME
    return len(meant) == 2 and typed == meant[::-1] and len(name) >= SHORT_NAME


def _shared_start(one: str, other: str) -> int:
    """Return how many letters two texts have in common at their start."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@functools.cache
def torchs_arguments() -> dict[str, list[str]]:
    """Return for every argument of torch's optimizers the classes that take it."""
    taken: dict[str, list[str]] = {}
    for name, cls in vars(torch.optim).items():
        if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer):
            for argument in list(inspect.signature(cls).parameters)[1:]:
                taken.setdefault(argument, []).append(name)
    return taken


def _stacklevel() -> int:
    """Return the ``stacklevel`` with which the caller's warning points to the user's line."""
    # warnings.warn has skip_file_prefixes for this from Python 3.12 on.
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame and str(frame.f_globals.get("__name__")).partition(".")[0] in WITHIN:
        frame, level = frame.f_back, level + 1
    return level
