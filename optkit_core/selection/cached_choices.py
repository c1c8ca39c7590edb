"""The chooser of an optimizer: it asks the selector what runs each bucket, and remembers."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import attrs
from torch import Tensor

from optkit_core.declaration.buffer_conditions import names_for
from optkit_core.declaration.tensor_types import is_plain
from optkit_core.selection import requests
from optkit_core.selection.collect_offers import offers_of
from optkit_core.selection.offer import Algorithm
from optkit_core.selection.requests import Request, RequestKey
from optkit_core.selection.select_implementation import Choice, select
from optkit_core.shards.completed_bodies import steps_part
from optkit_core.step.bucket_key import BucketKey, bucket_key_of


class Chooser:
    """What runs each bucket of an optimizer, chosen once while nothing changes.

    Args:
        algorithm: the optimizer's class.
        request: what was asked for when the optimizer was constructed.

    Attributes:
        choices: the answers so far, by the bucket's key and by what its groups ask for.
    """

    def __init__(self, algorithm: type[Algorithm], request: Request) -> None:
        """Begin without an answer."""
        self.choices: dict[tuple[BucketKey, RequestKey], Choice] = {}
        self._algorithm, self._request = algorithm, request
        self._requests: dict[RequestKey, Request] = {}

    def request_of(self, group: Mapping[str, Any]) -> Request:
        """Return what a group asks for, or the optimizer where it doesn't; parsed once.

        Raises:
            ImplementationError: the flags contradict each other or ``implementation``.
        """
        asked = requests.request_key(group)
        request = self._requests.get(asked)
        if request is None:
            request = self._requests[asked] = requests.requested(group) or self._request
        return request

    def require_supported(self, group: Mapping[str, Any], h: SimpleNamespace) -> None:
        """Raise if a group asks for an implementation that can't run it.

        Parameters on the meta device are asked about in the first step: where they will be is
        unknown until their model is materialized.

        Args:
            group: the parameter group.
            h: its hyperparameters as attributes.

        Raises:
            ImplementationError: an explicit request can't be met.
        """
        request = self.request_of(group)
        if request.is_explicit:  # what `auto` takes is seen in the first step
            names_of = names_for(getattr(self._algorithm, "buffers", {}), group)
            keys = (
                self._key(group, p, names_of(p), steps_part(self._algorithm, group, h, p))
                for p in group["params"]
            )
            for key in dict.fromkeys(keys):
                if key.device.type != "meta":
                    select(request, key, offers_of(self._algorithm), self._algorithm, h)

    def _key(
        self, group: Mapping[str, Any], p: Tensor, names: tuple[str, ...], is_part: bool
    ) -> BucketKey:
        """Return the key of the bucket in which a parameter steps by itself or by its part."""
        is_sharded = is_part and self._algorithm.completes_reductions()
        is_native = is_plain(p) or is_part
        return bucket_key_of(group, p, is_native=is_native, buffers=names, is_sharded=is_sharded)

    def choose(
        self, group: Mapping[str, Any], key: BucketKey, h: SimpleNamespace | None = None
    ) -> Choice:
        """Return what runs the buckets of a key; see `optkit_core.Optimizer.choose`."""
        asked = key, requests.request_key(group)
        choice = self.choices.get(asked)
        if choice is None:
            offers = offers_of(self._algorithm)
            choice = select(self.request_of(group), key, offers, self._algorithm, h)
            self.choices[asked] = choice
        return choice

    def choose_without(
        self, refused: Choice, reason: str, group: Mapping[str, Any], h: SimpleNamespace
    ) -> Choice:
        """Return what runs the buckets of a key once the choice turned out not to be able to.

        Args:
            refused: the choice so far.
            reason: why it can't run.
            group: the parameter group, or the first of those that ask for the same.
            h: the group's hyperparameters as attributes.

        Raises:
            ImplementationError: it was requested explicitly, or nothing else can.
        """
        offers = [
            # A copy: the offer itself serves every optimizer of the class.
            attrs.evolve(offer, unsupported_reason=lambda *_: reason)
            if offer is refused.offer
            else offer
            for offer in offers_of(self._algorithm)
        ]
        choice = select(self.request_of(group), refused.key, offers, self._algorithm, h)
        self.choices[refused.key, requests.request_key(group)] = choice
        return choice
