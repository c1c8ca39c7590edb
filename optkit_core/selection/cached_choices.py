"""The chooser of an optimizer: it asks the selector what runs each bucket, and remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import attrs
from torch import Tensor

from optkit_core.selection import requests
from optkit_core.selection.collect_offers import offers_of
from optkit_core.selection.expected_keys import expected
from optkit_core.selection.offer import Algorithm
from optkit_core.selection.requests import Request, RequestKey
from optkit_core.selection.select_implementation import Choice, candidates, first_able, select
from optkit_core.shards.agreement import Agreement, FirstChoice, Question
from optkit_core.shards.placements import is_distributed
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.sort_into_buckets import Facts


class Chooser:
    """What runs each bucket of an optimizer, chosen once while nothing changes.

    Args:
        algorithm: the optimizer's class.
        request: what was asked for when the optimizer was constructed.

    Attributes:
        choices: the answers so far, by the bucket's key and by what its groups ask for.
        agreement: what other ranks can't run, where they hold the same DTensors.
    """

    def __init__(self, algorithm: type[Algorithm], request: Request) -> None:
        """Begin without an answer."""
        self.choices: dict[tuple[BucketKey, RequestKey], Choice] = {}
        self._algorithm, self._request = algorithm, request
        self._requests: dict[RequestKey, Request] = {}
        self.agreement = Agreement()

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
            asked = expected(self._algorithm, group, h, group["params"])
            keys = (
                attrs.evolve(key, refused=self.agreement.refused(p, facts))
                for p, facts, key in asked
            )
            for key in dict.fromkeys(keys):
                if key.device.type != "meta":
                    select(request, key, offers_of(self._algorithm), self._algorithm, h)

    def agree(
        self,
        param_groups: Iterable[Mapping[str, Any]],
        values: Callable[[Mapping[str, Any]], SimpleNamespace],
    ) -> None:
        """Let the ranks that hold DTensors of these groups find out what all of them can run.

        Nothing is asked twice; see `optkit_core.shards.agreement`.

        Args:
            param_groups: some of the optimizer's groups.
            values: returns the hyperparameters of a group as attributes.

        Raises:
            ImplementationError: ranks ask for different implementations.
        """
        asked = [entry for group in param_groups for entry in self._open(group, values)]
        if asked:
            self.agreement.reach(asked)

    def _open(
        self,
        group: Mapping[str, Any],
        values: Callable[[Mapping[str, Any]], SimpleNamespace],
    ) -> Iterator[tuple[Tensor, Facts, Question]]:
        """Yield the DTensors of a group about which nothing is agreed, with the question."""
        distributed = [p for p in group["params"] if is_distributed(p) and not p.is_meta]
        if not distributed:
            return
        h = values(group)
        for p, facts, key in expected(self._algorithm, group, h, distributed):
            if not self.agreement.is_reached(p, facts):
                yield p, facts, Question(key, partial(self._first_choice, group, h))

    def _first_choice(
        self, group: Mapping[str, Any], h: SimpleNamespace, key: BucketKey
    ) -> FirstChoice:
        """Return what this rank would run for a key by itself."""
        request, offers = self.request_of(group), offers_of(self._algorithm)
        asked = candidates(request, key, offers)
        offer, reasons = first_able(asked, key, self._algorithm, h)
        own = {name: reason for name, reason in reasons.items() if not key.refusal_of(name)}
        requested = request.on(key.device.type)
        return FirstChoice(requested, request.source, offer.name if offer else "", own)

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
