"""The selector: which implementation runs a bucket, as a pure function with reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from optkit_core.errors import ImplementationError
from optkit_core.selection.requests import AUTO, Request
from optkit_core.step.buckets import Kind

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
"""What it tries where compiled code calls the step, and fused refuses."""

ELSEWHERE = ("forloop", "foreach", "fused")
"""What it tries on other devices, and for tensor subclasses, which needn't know foreach."""


@attrs.frozen(eq=False)
class Offer:
    """An implementation and where it can run.

    Args:
        name: ``"forloop"``, ``"foreach"``, ``"fused"``, or a name of a plugin's own.
        prepare: called as ``prepare(algorithm, bucket, hyperparameters)``, returns a function
            that steps the bucket in place; changes nothing itself, and raises
            `UnavailableError` where the bucket can't be stepped after all. An algorithm that
            isn't elementwise may call it in its own way.
        refuse: called as ``refuse(algorithm, kind, hyperparameters)``, returns why it can't
            run a kind of bucket, or ``""`` when it can.
        holds: called with a bucket that it has stepped, returns whether the bucket is as it
            was apart from its values, and has taken in the gradients of now; without it,
            each parameter is looked at.
        skips: the types of devices on which it sees for itself that a gradient isn't finite,
            and changes nothing; elsewhere `GradScaler`'s answer is waited for.
        spans_groups: whether a bucket may hold parameters of several groups, with the
            hyperparameters of each in ``bucket.hyperparameters``, and None for `prepare`;
            otherwise it holds those of one group, whose hyperparameters `prepare` is given.
        ahead_of: the names of implementations before all of which ``auto`` tries it. Without
            one, a name of a plugin's own comes last.
    """

    name: str
    prepare: Callable[..., Any]
    refuse: Callable[[Any, Kind, Any], str]
    holds: Callable[[Any], bool] | None = None
    skips: frozenset[str] = frozenset()
    spans_groups: bool = False
    ahead_of: frozenset[str] = frozenset()


@attrs.frozen
class Choice:
    """The offer that runs one kind of bucket, with the reason, and those that don't."""

    kind: Kind
    offer: Offer
    reason: str
    rejected: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The name of the implementation that runs."""
        return self.offer.name


def select(
    request: Request,
    kind: Kind,
    offers: Sequence[Offer],
    algorithm: Any,
    h: Any = None,
) -> Choice:
    """Choose the implementation for a kind of bucket.

    Offers are asked one after another whether they can run it, until one can: an answer may
    take long, such as the compilation of a kernel.

    Args:
        request: what was asked for, and by whom.
        kind: device, dtype, layout and mode of the bucket.
        offers: what the algorithm can be run by.
        algorithm: the optimizer class.
        h: the hyperparameters of the bucket's first group, as attributes.

    Returns:
        The choice, its reason, and for every other offer why not.

    Raises:
        ImplementationError: an explicit request can't be met; the message lists what could run.
    """
    wish = request.on(kind.device.type)
    if wish != AUTO:
        return _wished(wish, request, kind, offers, algorithm, h)
    refusals: dict[str, str] = {}
    candidates = sorted(offers, key=lambda offer: _rank(kind, offer))
    for position, offer in enumerate(candidates):
        refusals[offer.name] = offer.refuse(algorithm, kind, h)
        if not refusals[offer.name]:
            del refusals[offer.name]
            later = candidates[position + 1 :]
            refusals |= {other.name: "not preferred" for other in later}
            reason = f"first choice {_where(kind)} that can run it"
            return Choice(kind, offer, reason, tuple(refusals.items()))
    why = "; ".join(f"{name}: {reason}" for name, reason in refusals.items()) or "none exists"
    raise ImplementationError(f"no implementation can run {algorithm.__name__} on {kind}: {why}.")


def _rank(kind: Kind, offer: Offer) -> float:
    preferred = COMPILED if kind.compiled else PREFERENCE.get(kind.device.type, ELSEWHERE)
    order = preferred if kind.native else ELSEWHERE
    later = [order.index(name) - 0.5 for name in offer.ahead_of if name in order]
    own = order.index(offer.name) if offer.name in order else len(order)
    return min([own, *later])


def _where(kind: Kind) -> str:
    if not kind.native:
        return "on tensor subclasses"
    return "under torch.compile" if kind.compiled else f"on {kind.device.type}"


def _wished(
    wish: str,
    request: Request,
    kind: Kind,
    offers: Sequence[Offer],
    algorithm: Any,
    h: Any,
) -> Choice:
    wished = [offer for offer in offers if offer.name == wish]
    others = [offer for offer in offers if offer.name != wish]
    why = wished[0].refuse(algorithm, kind, h) if wished else ""
    if wished and not why:
        rejected = tuple((offer.name, "not requested") for offer in others)
        return Choice(kind, wished[0], f"requested by {request.source}", rejected)
    why = why or f"{algorithm.__name__} has no {wish} implementation"
    able = [offer.name for offer in others if not offer.refuse(algorithm, kind, h)]
    raise ImplementationError(
        f"implementation {wish!r}, requested by {request.source}, can't run {algorithm.__name__} "
        f"on {kind}: {why}. What could run: {', '.join(able) or 'its own step'}; or say "
        "implementation='auto'."
    )
