"""Hyperparameters that many algorithms have, with where good values of them are searched."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optkit_core import (
    at_least,
    boolean,
    choice,
    each,
    hyperparameter,
    loguniform,
    one_of,
    option,
    uniform,
    within,
)


def learning_rate(default: float, low: float, high: float, doc: str = "learning rate") -> Any:
    """Declare a learning rate, or what takes its place.

    Args:
        default: the value used when none is given.
        low: the smallest that is searched.
        high: the largest that is searched.
        doc: one phrase.
    """
    return hyperparameter(
        default=default, range=at_least(0.0), search=loguniform(low, high), doc=doc
    )


def decay_rates(*defaults: float, doc: str) -> Any:
    """Declare the decay rates of means, each in [0, 1).

    Args:
        *defaults: the values used when none are given.
        doc: one phrase.
    """
    # Those of slow means are searched by how far they are from 1.
    slow = choice([0.9, 0.99, 0.999, 0.9999])
    return hyperparameter(
        default=defaults,
        range=each(within(0.0, 1.0), length=len(defaults)),
        search=tuple([uniform(0.5, 0.99) if rate < 0.99 else slow for rate in defaults]),
        doc=doc,
    )


def epsilon(default: float, doc: str = "keeps the root from zero") -> Any:
    """Declare what keeps a divisor from zero, which nobody searches.

    Args:
        default: the value used when none is given.
        doc: one phrase.
    """
    return hyperparameter(default=default, range=at_least(0.0), doc=doc)


def weight_decay_rate(
    default: float = 0.0, low: float = 1e-6, high: float = 1e-2, doc: str = "L2 penalty"
) -> Any:
    """Declare a weight decay.

    Args:
        default: the value used when none is given.
        low: the smallest that is searched.
        high: the largest that is searched.
        doc: one phrase.
    """
    return hyperparameter(
        default=default, range=at_least(0.0), search=loguniform(low, high), doc=doc
    )


def momentum_rate() -> Any:
    """Declare the decay of a momentum that adds up, 0 for none."""
    doc = "decay of the momentum"
    return hyperparameter(default=0.0, range=at_least(0.0), search=uniform(0.0, 0.99), doc=doc)


def flag(doc: str, is_searched: bool = True, kw_only: bool = False) -> Any:
    """Declare a choice between two ways, of which False is the default.

    Args:
        doc: one phrase about True.
        is_searched: whether both are tried in a search.
        kw_only: whether the constructor takes it by keyword only.
    """
    search = choice([False, True]) if is_searched else None
    return hyperparameter(default=False, range=boolean(), search=search, doc=doc, kw_only=kw_only)


def switch(by_position: bool = False) -> Any:
    """Declare an option of `Elementwise` anew, in another place of the constructor.

    Args:
        by_position: whether the constructor takes it by position too.
    """
    return option(default=False, range=boolean(), by_position=by_position)


def foreach_flag(by_position: bool = False) -> Any:
    """Declare torch's ``foreach`` anew, in another place of the constructor.

    Args:
        by_position: whether the constructor takes it by position too.
    """
    return option(default=None, range=one_of(None, True, False), by_position=by_position)


def float32_or_wider(p: Tensor) -> torch.dtype:
    """Return the dtype of buffers that half precision has too few digits or too small a range for.

    Args:
        p: the parameter.
    """
    return torch.promote_types(p.dtype.to_real(), torch.float32)
