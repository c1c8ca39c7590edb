"""Choosing: how an optimizer comes by what runs each of its buckets, and tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from torch import Tensor

from optkit_core.selection import requests
from optkit_core.selection.offers import offers_of
from optkit_core.selection.requests import Request
from optkit_core.selection.selector import Choice, select
from optkit_core.step.buckets import Kind, kind_of

if TYPE_CHECKING:
    from optkit_core.selection.explanation import Explanation
    from optkit_core.step.plans import Plan


class Choosing:
    """The part of an optimizer that asks the selector and remembers its answers."""

    request: Request
    param_groups: list[dict[str, Any]]
    hyperparameter_names: ClassVar[tuple[str, ...]]
    step_options: ClassVar[tuple[str, ...]]
    has_body: ClassVar[bool]

    @property
    def plan(self) -> tuple[Choice, ...]:
        """What runs for each kind of parameter seen so far, with the reasons."""
        return tuple(self._choices.values())

    def explain(self) -> Explanation:
        """Return what runs each bucket and why, and for every other implementation why not.

        Returns:
            A record; printed, it is a table.

        >>> import torch, optkit
        >>> optimizer = optkit.create("adagrad", [torch.zeros(3)], implementation="forloop")
        >>> print(optimizer.explain())  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
        Adagrad, as the argument implementation= has it
        group  device  dtype    layout   tensors  elements  runs     why
        0      cpu     float32  strided  1        3         forloop  requested by ...
        group 0, cpu float32: not foreach: not requested
        group 0, cpu float32: not fused: not requested
        """
        from optkit_core.selection.explanation import explain

        return explain(self)

    def forget_plans(self) -> None:
        """Choose anew in the next step what runs each bucket."""
        self._choices: dict[Any, Choice] = {}
        self._plan: Plan | None = None
        self._group_count = 0

    def check_request(self, group: Mapping[str, Any]) -> None:
        """Raise if a group asks for an implementation that can't run it.

        Parameters on the meta device are asked about in the first step: where they will be is
        unknown until their model is materialized.

        Raises:
            ImplementationError: an explicit request can't be met.
        """
        request = requests.requested(group) or self.request
        if request.is_explicit:
            h, offers = self.values(group), offers_of(type(self))
            for kind in dict.fromkeys(kind_of(group, p) for p in group["params"]):
                if kind.device.type != "meta":
                    select(request, kind, offers, type(self), h)

    def values(self, group: Mapping[str, Any]) -> SimpleNamespace:
        """Return the hyperparameters of a group as attributes."""
        values = {name: group[name] for name in self.hyperparameter_names}
        lr = values.get("lr")
        if isinstance(lr, Tensor) and lr.dim():
            values["lr"] = lr.reshape(())
        return SimpleNamespace(**values)

    def choose(self, group: Mapping[str, Any], kind: Kind, h: Any = None) -> Choice:
        """Return what runs a kind of bucket, chosen once while nothing changes.

        Args:
            group: the parameter group, or the first of those that ask for the same.
            kind: what the bucket's parameters have in common.
            h: the group's hyperparameters as attributes.
        """
        key = kind, requests.wish_of(group)
        choice = self._choices.get(key)
        if choice is None:
            request = requests.requested(group) or self.request
            choice = select(request, kind, offers_of(type(self)), type(self), h)
            self._choices[key] = choice
        return choice

    def choose_without(
        self, refused: Choice, reason: str, group: Mapping[str, Any], h: Any
    ) -> Choice:
        """Return what runs a kind of bucket once the choice has turned out not to be able to.

        Raises:
            ImplementationError: it was requested explicitly, or nothing else can.
        """
        offers = [
            attrs.evolve(offer, refuse=lambda *_: reason) if offer is refused.offer else offer
            for offer in offers_of(type(self))
        ]
        request = requests.requested(group) or self.request
        choice = select(request, refused.kind, offers, type(self), h)
        self._choices[refused.kind, requests.wish_of(group)] = choice
        return choice
