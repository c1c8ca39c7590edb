"""Keys of a parameter group beside the declared ones: annotations, and slips of the pen."""

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
from optkit_core.errors import UnusedGroupKeyWarning
from optkit_core.selection import requests

ANNOTATIONS = frozenset(
    {
        "params",
        "param_names",
        "name",
        "schema",
        "writer",
        "lr_scale",
        "initial_lr",
        "min_lr",
        "max_lr",
        "swa_lr",
        "base_momentum",
        "max_momentum",
    }
)
"""Keys that any group may have beside the declared ones: names, and what schedulers write."""

KNOWN = ANNOTATIONS | requests.SET_ASIDE.keys()
"""Keys that need no declaration: torch's flags say what runs even where a class has none."""

LIVE = ("implementation", "foreach", "fused", "eager_state")
"""Options that say how to run; a checkpoint doesn't override them."""

SYNONYMS = {"learning_rate": "lr", "wd": "weight_decay", "epsilon": "eps"}
"""What other libraries call a hyperparameter, which would have no effect under that name."""

SHORT = 3
"""Names of no more letters are too alike for another letter in one to be a slip: ``l1``, ``lr``."""

WITHIN = frozenset({"optkit", "optkit_core", "optkit_plugins", "torch"})
"""Packages whose lines a warning doesn't point to."""


def check(owner: type[Declared], group: Mapping[str, Any]) -> None:
    """Refuse keys that are slips of declared names, and warn once of others that nobody knows.

    Args:
        owner: the optimizer's class.
        group: a parameter group.

    Raises:
        UnknownHyperparameterError: a key is almost a declared name.
    """
    strange = [key for key in group if key not in owner.declarations and key not in KNOWN]
    for key in strange:
        meant = slip_of(key, owner.declarations)
        if meant:
            name, hint = f"a parameter group of {owner.__name__}", f" Did you mean {meant!r}?"
            raise unknown(name, key, group[key], hint, owner.declarations)
    new = [key for key in strange if key not in owner.known_annotations]
    if new:
        warnings.warn(
            f"a parameter group has {', '.join(map(repr, new))}, which {owner.__name__} keeps "
            "there and doesn't use.",
            UnusedGroupKeyWarning,
            stacklevel=_stacklevel(),
        )
        owner.known_annotations.update(new)


def slip_of(key: Any, declared: Iterable[str]) -> str:
    """Return the declared name that a key is a slip of, or ``""``.

    A name made from a declared one is no slip, ``lr_mult`` or ``decoupled_weight_decay``, nor is
    one that an optimizer of torch's takes, ``etas`` for example.

    >>> slip_of("lrr", ["lr", "betas"]), slip_of("lr_mult", ["lr", "betas"])
    ('lr', '')
    """
    if not isinstance(key, str) or key in ANNOTATIONS:
        return ""
    given = key.lower()
    close = (name for name in declared if SYNONYMS.get(given) == name or is_slip(given, name))
    meant = next(close, "")
    return "" if meant and key in torchs_arguments() else meant


def is_slip(given: str, name: str) -> bool:
    """Return whether one letter is missing, too many or another, or two have changed places.

    >>> [is_slip(given, "betas") for given in ("beta", "bettas", "beta1", "beats", "alphas")]
    [True, True, True, True, False]
    """
    start = _in_common(given, name)
    end = _in_common(given[start:][::-1], name[start:][::-1])
    there, here = given[start : len(given) - end], name[start : len(name) - end]
    if len(there) <= 1 and len(here) <= 1:
        return not here or len(name) > SHORT
    return len(here) == 2 and there == here[::-1] and len(name) >= SHORT


def _in_common(one: str, other: str) -> int:
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
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame and str(frame.f_globals.get("__name__")).partition(".")[0] in WITHIN:
        frame, level = frame.f_back, level + 1
    return level
