"""The selector: which implementation runs a bucket, as a pure function with reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from optkit_core.buckets import Kind
from optkit_core.config import AUTO, Request
from optkit_core.errors import ImplementationError

ELSEWHERE = ("forloop", "foreach", "fused")
"""What ``auto`` tries on CPU, and for tensor subclasses, which needn't know foreach."""

PREFERENCE = dict.fromkeys(("cuda", "xpu", "mtia"), ("foreach", "forloop", "fused"))
"""What ``auto`` tries first on accelerators: there one launch for many tensors wins.

Both are torch.optim's defaults too; on CPU the for-loop is bit-equal to it.
"""


@attrs.frozen(eq=False)
class Offer:
    """An implementation and where it can run.

    Args:
        name: ``"forloop"``, ``"foreach"`` or ``"fused"``.
        run: called as ``run(algorithm, bucket, hyperparameters)``, and updates the bucket in
            place; an algorithm that isn't elementwise may call it in its own way.
        refuse: returns why it can't run a kind of bucket, or ``""`` when it can.
    """

    name: str
    run: Callable[..., None]
    refuse: Callable[[Any, Kind], str]


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


def select(request: Request, kind: Kind, offers: Sequence[Offer], algorithm: Any) -> Choice:
    """Choose the implementation for a kind of bucket.

    Args:
        request: what was asked for, and by whom.
        kind: device, dtype, layout and mode of the bucket.
        offers: what the algorithm can be run by.
        algorithm: the optimizer class.

    Returns:
        The choice, its reason, and for every other offer why not.

    Raises:
        ImplementationError: an explicit request can't be met; the message lists what could run.
    """
    wish = request.on(kind.device.type)
    refusals = {offer.name: offer.refuse(algorithm, kind) for offer in offers}
    able = [offer for offer in offers if not refusals[offer.name]]
    if wish == AUTO and not able:
        why = "; ".join(f"{name}: {reason}" for name, reason in refusals.items()) or "none exists"
        raise ImplementationError(
            f"no implementation can run {algorithm.__name__} on {kind}: {why}."
        )
    if wish == AUTO:
        order = PREFERENCE.get(kind.device.type, ELSEWHERE) if kind.native else ELSEWHERE
        chosen = min(able, key=lambda offer: _rank(order, offer.name))
        where = kind.device.type if kind.native else "tensor subclasses"
        reason = f"first choice on {where} that can run it"
    else:
        chosen = _wished(wish, request, kind, able, refusals, algorithm)
        reason = f"requested by {request.source}"
    rejected = ((n, r or "not preferred") for n, r in refusals.items() if n != chosen.name)
    return Choice(kind, chosen, reason, tuple(rejected))


def _rank(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _wished(
    wish: str,
    request: Request,
    kind: Kind,
    able: Sequence[Offer],
    refusals: dict[str, str],
    algorithm: Any,
) -> Offer:
    for offer in able:
        if offer.name == wish:
            return offer
    why = refusals.get(wish) or f"{algorithm.__name__} has no {wish} implementation"
    names = ", ".join(offer.name for offer in able)
    raise ImplementationError(
        f"implementation {wish!r}, requested by {request.source}, can't run {algorithm.__name__} "
        f"on {kind}: {why}. What could run: {names}; or say implementation='auto'."
    )
