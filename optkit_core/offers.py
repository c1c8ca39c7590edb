"""Offers for an algorithm: its own implementations, and those that plugins add to it."""

from __future__ import annotations

from typing import Any

from optkit_core import hooks
from optkit_core.errors import PluginError
from optkit_core.selector import Offer

OWN_STEP = "its own"
"""What stands for the implementation of an algorithm that defines its step and offers nothing."""


def offers_of(algorithm: Any) -> tuple[Offer, ...]:
    """Return an algorithm's own offers, then those of plugins by their hook `optkit_offers`.

    ``auto`` never prefers an added one: it runs where it is asked for by its name. An algorithm
    that offers nothing asks for nothing in its step, so that nothing can be added to it.

    Raises:
        PluginError: an added offer isn't one, or takes a name that is taken.
    """
    found: tuple[Offer, ...] = algorithm.offers
    if not found:
        return ()
    for added in hooks.results("optkit_offers", algorithm=algorithm):
        for offer in added:
            _check(offer, algorithm, {known.name for known in found})
            found = (*found, offer)
    return found


def _check(offer: Any, algorithm: Any, taken: set[str]) -> None:
    if not isinstance(offer, Offer):
        raise PluginError(
            f"optkit_offers for {algorithm.__name__} must return optkit_core.Offer records, "
            f"got {offer!r:.80}."
        )
    if offer.name in {*taken, "auto"}:
        raise PluginError(
            f"optkit_offers for {algorithm.__name__} adds an implementation called "
            f"{offer.name!r}, and there is one; it needs a name of its own."
        )
