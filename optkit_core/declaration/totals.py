"""Totals: what a step sums over all parameters, declared in the class of its algorithm."""

from __future__ import annotations

import attrs


@attrs.frozen(eq=False)
class Total:
    """A sum over all parameters that have a gradient, of a number that each of them contributes.

    `WithTotals.measure` returns the contributions, and `WithTotals.conclude` is given the sums.

    Args:
        doc: one phrase.

    >>> Total(doc="squared norm of the gradient").doc
    'squared norm of the gradient'
    """

    doc: str = ""


def collect(cls: type) -> dict[str, Total]:
    """Return the totals that `cls` and its bases declare, bases first."""
    declared: dict[str, Total] = {}
    for base in reversed(cls.__mro__):
        declared.update({k: v for k, v in vars(base).items() if isinstance(v, Total)})
    return declared
