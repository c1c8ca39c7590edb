"""The selector: which implementation runs a bucket, as a pure function with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import attrs

from optkit_core.deprecation import warn_of_former_name
from optkit_core.errors import ImplementationError
from optkit_core.selection.offer import Algorithm, Offer
from optkit_core.selection.requests import AUTO, Request
from optkit_core.step.bucket_key import BucketKey

PREFERENCE = {
    "cpu": ("fused", "forloop", "foreach"),
    "cuda": ("foreach", "forloop", "fused"),
    "xpu": ("foreach", "forloop", "fused"),
    "mtia": ("foreach", "forloop", "fused"),
}
"""What ``auto`` tries on a type of device, in this order.

On CUDA fused comes last until it has been measured on such a device.
"""

COMPILED = ("fused", "foreach", "forloop")
"""What it tries where compiled code calls the step, which fused doesn't support."""

SHARDED = ("fused", "foreach", "forloop")
"""What it tries for parts of DTensors whose reductions are completed over the mesh."""

ELSEWHERE = ("forloop", "foreach", "fused")
"""What it tries on other devices, and for tensor subclasses, which needn't know foreach."""


@attrs.frozen
class Choice:
    """The offer that runs the buckets of a key, with the reason, and those that don't.

    Args:
        key: what the parameters of these buckets have in common.
        offer: what runs them.
        reason: why it was chosen.
        rejected: the name of every other offer, with the reason why not.
    """

    key: BucketKey
    offer: Offer
    reason: str
    rejected: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The name of the implementation that runs."""
        return self.offer.name

    @property
    def kind(self) -> BucketKey:
        """What `key` was called before."""
        warn_of_former_name("Choice.kind")
        return self.key


def select(
    request: Request,
    key: BucketKey,
    offers: Sequence[Offer],
    algorithm: type[Algorithm],
    h: SimpleNamespace | None = None,
) -> Choice:
    """Choose the implementation for the buckets of a key.

    Offers are asked one after another whether they can run it, until one can: an answer may
    take long, such as the compilation of a kernel.

    Args:
        request: what was asked for, and by whom.
        key: device, dtype, layout and mode of the buckets.
        offers: what the algorithm can be run by.
        algorithm: the optimizer class.
        h: the hyperparameters of the bucket's first group, as attributes.

    Returns:
        The choice, its reason, and for every other offer why not.

    Raises:
        ImplementationError: an explicit request can't be met; the message lists what could run.
    """
    requested = request.on(key.device.type)
    if requested != AUTO:
        return _select_requested(requested, request.source, key, offers, algorithm, h)
    ordered = by_preference(key, offers)
    offer, reasons = first_able(ordered, key, algorithm, h)
    if offer is not None:
        later = {other.name: "not preferred" for other in ordered if other is not offer}
        rejected = tuple((later | reasons).items())
        return Choice(key, offer, f"first choice {_where(key)} that can run it", rejected)
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "none exists"
    raise ImplementationError(f"no implementation can run {algorithm.__name__} on {key}: {why}.")


def candidates(request: Request, key: BucketKey, offers: Sequence[Offer]) -> list[Offer]:
    """Return the offers that may run the buckets of a key, in the order in which they are asked.

    Args:
        request: what was asked for.
        key: device, dtype, layout and mode of the buckets.
        offers: what the algorithm can be run by.
    """
    requested = request.on(key.device.type)
    ordered = by_preference(key, offers)
    return [offer for offer in ordered if requested in (AUTO, offer.name)]


def first_able(
    ordered: Sequence[Offer],
    key: BucketKey,
    algorithm: type[Algorithm],
    h: SimpleNamespace | None = None,
) -> tuple[Offer | None, dict[str, str]]:
    """Return the first offer that can run the buckets of a key, None where none can.

    Args:
        ordered: the offers, in the order in which they are asked.
        key: device, dtype, layout and mode of the buckets.
        algorithm: the optimizer class.
        h: the hyperparameters of the bucket's first group, as attributes.

    Returns:
        The offer, and for those before it, by their names, why not.
    """
    reasons: dict[str, str] = {}
    for offer in ordered:
        reason = _reason(offer, key, algorithm, h)
        if not reason:
            return offer, reasons
        reasons[offer.name] = reason
    return None, reasons


def _reason(
    offer: Offer, key: BucketKey, algorithm: type[Algorithm], h: SimpleNamespace | None
) -> str:
    return key.refusal_of(offer.name) or offer.unsupported_reason(algorithm, key, h) or ""


def by_preference(key: BucketKey, offers: Sequence[Offer]) -> list[Offer]:
    """Return offers in the order in which ``auto`` asks them.

    Args:
        key: device, dtype, layout and mode of the buckets.
        offers: what the algorithm can be run by.
    """
    return sorted(offers, key=lambda offer: _rank(key, offer))


def _rank(key: BucketKey, offer: Offer) -> float:
    preferred = COMPILED if key.compiled else PREFERENCE.get(key.device.type, ELSEWHERE)
    order = SHARDED if key.sharded else preferred if key.native else ELSEWHERE
    # A name of a plugin's own comes last: it runs where it is asked for.
    rank = order.index(offer.name) if offer.name in order else len(order)
    # Half a place, so that no rank is shared with the offer that comes before those it names.
    return min([rank, *(order.index(name) - 0.5 for name in offer.ahead_of if name in order)])


def _where(key: BucketKey) -> str:
    if not key.native:
        return "on tensor subclasses"
    return "under torch.compile" if key.compiled else f"on {key.device.type}"


def _select_requested(
    name: str,
    source: str,
    key: BucketKey,
    offers: Sequence[Offer],
    algorithm: type[Algorithm],
    h: SimpleNamespace | None,
) -> Choice:
    named = [offer for offer in offers if offer.name == name]
    others = [offer for offer in offers if offer.name != name]
    reason = f"{algorithm.__name__} has no {name} implementation"
    if named:
        reason = _reason(named[0], key, algorithm, h)
    if not reason:
        rejected = tuple((offer.name, "not requested") for offer in others)
        return Choice(key, named[0], f"requested by {source}", rejected)
    # Only on failure are the others asked: an answer may take a compilation.
    able = [offer.name for offer in others if not _reason(offer, key, algorithm, h)]
    raise ImplementationError(
        f"implementation {name!r}, requested by {source}, can't run {algorithm.__name__} "
        f"on {key}: {reason}. What could run: {', '.join(able) or 'its own step'}; or say "
        "implementation='auto'."
    )
