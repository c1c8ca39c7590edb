"""Offers for an algorithm: its own implementations, and those that plugins add to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from optkit_core.declaration.base import Declared
from optkit_core.errors import PluginError
from optkit_core.plugins import entry_points, hook_calls, import_limit
from optkit_core.plugins.registry import registry
from optkit_core.selection.offer import Algorithm, Offer

OWN_STEP = "its own"
"""What stands for the implementation of an algorithm that defines its step and offers nothing."""


def offers_of(algorithm: type[Algorithm]) -> tuple[Offer, ...]:
    """Return an algorithm's own offers, then those of plugins by their hook `optkit_offers`.

    ``auto`` never prefers an added one: it runs where it is asked for by its name. An algorithm
    that offers nothing asks for nothing in its step, so that nothing can be added to it.

    Raises:
        PluginError: a plugin fails, an added offer isn't one, or takes a name that is taken.
    """
    offers: tuple[Offer, ...] = algorithm.offers
    if not offers:
        return ()
    for added in _added(algorithm):
        for offer in added:
            _check(offer, algorithm, {known.name for known in offers})
            offers = (*offers, offer)
    return offers


def names_of_loaded() -> list[str]:
    """Return the names of the implementations of all algorithms that are imported."""
    # Whole plugins too: the name may be that of an offer which one of them adds.
    entry_points.load_all()
    names: set[str] = set()
    for algorithm in _derived(Declared):
        if not hasattr(algorithm, "offers"):
            continue  # a base class below `Optimizer`, which nobody creates
        # A broken plugin hides its own names only; whoever uses it is told why it fails.
        with contextlib.suppress(PluginError):
            names.update(offer.name for offer in offers_of(algorithm))
    return sorted(names)


def names_of_own() -> list[str]:
    """Return those of the algorithms that ship too, whose import can't fail."""
    for entry in registry.entries():
        if entry.is_own:
            registry.load(entry)
    return names_of_loaded()


def names_of_all() -> list[str]:
    """Return those of all algorithms that are registered too, which are imported for it."""
    limit = import_limit.seconds()
    for entry in registry.entries():
        with contextlib.suppress(PluginError), import_limit.limited(limit):
            registry.load(entry)
    return names_of_loaded()


def _derived(base: type[Any]) -> Iterator[Any]:
    for derived in base.__subclasses__():
        yield derived
        yield from _derived(derived)


def _added(algorithm: type[Algorithm]) -> list[Any]:
    try:
        return hook_calls.results("optkit_offers", algorithm=algorithm)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call `sys.exit`, which isn't to end the program
        raise PluginError(
            f"a plugin failed in optkit_offers for {algorithm.__name__}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check(offer: Any, algorithm: type[Algorithm], taken: set[str]) -> None:
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
    if offer.ahead_of:
        raise PluginError(
            f"optkit_offers for {algorithm.__name__} adds the implementation {offer.name!r} with "
            "ahead_of, but auto prefers no added one; leave it out."
        )
