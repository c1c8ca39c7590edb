"""An offer: an implementation of an algorithm, and where it can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import attrs

from optkit_core.declaration.buffers import Buffer
from optkit_core.deprecation import warn_of_former_name
from optkit_core.step.bucket_key import BucketKey
from optkit_core.step.buckets import Bucket

Launch = Callable[[], None]
"""Steps a bucket in place."""

MakeLauncher = Callable[[Any, Bucket, Any], Launch]
UnsupportedReason = Callable[[Any, BucketKey, Any], str | None]


@attrs.frozen(eq=False, init=False)
class Offer:
    """An implementation and where it can run.

    Args:
        name: ``"forloop"``, ``"foreach"``, ``"fused"``, or a name of a plugin's own.
        make_launcher: called as ``make_launcher(algorithm, bucket, hyperparameters)``, returns a
            function that steps the bucket in place; changes nothing itself, and raises
            `UnavailableError` where the bucket can't be stepped after all. None for an
            algorithm that isn't elementwise.
        unsupported_reason: called as ``unsupported_reason(algorithm, key, hyperparameters)``,
            returns why it can't run buckets of a key, or None when it can.
        holds: called with a bucket that it has stepped, returns whether the bucket is as it
            was apart from its values, and has taken in the gradients of now; without it,
            each parameter is looked at.
        skips: the types of devices on which it sees for itself that a gradient isn't finite,
            and changes nothing; elsewhere `GradScaler`'s answer is waited for.
        spans_groups: whether a bucket may hold parameters of several groups, with the
            hyperparameters of each in ``bucket.hyperparameters``, and None for `make_launcher`;
            otherwise it holds those of one group, whose hyperparameters are given.
        vector_class: what stores the vectors of an algorithm that isn't elementwise; the
            algorithm itself makes objects of it.
        ahead_of: the names of implementations before all of which ``auto`` tries it. Without
            one, a name of a plugin's own comes last.
        impossible_reason: called as `unsupported_reason`, returns why no machine can run such
            buckets; asks neither for a compiler nor for a device. None (default): that is
            `unsupported_reason`.
        **deprecated: ``prepare`` and ``refuse``, as `make_launcher` and `unsupported_reason` were
            called before.
    """

    name: str
    make_launcher: MakeLauncher | None
    unsupported_reason: UnsupportedReason
    holds: Callable[[Bucket], bool] | None
    skips: frozenset[str]
    spans_groups: bool
    vector_class: type[Any] | None
    ahead_of: frozenset[str]
    impossible_reason: UnsupportedReason

    def __init__(
        self,
        name: str,
        make_launcher: MakeLauncher | None = None,
        unsupported_reason: UnsupportedReason | None = None,
        holds: Callable[[Bucket], bool] | None = None,
        skips: frozenset[str] = frozenset(),
        spans_groups: bool = False,
        vector_class: type[Any] | None = None,
        ahead_of: frozenset[str] = frozenset(),
        impossible_reason: UnsupportedReason | None = None,
        **deprecated: Any,
    ) -> None:
        make_launcher = _renamed(deprecated, "prepare", make_launcher)
        reason = _renamed(deprecated, "refuse", unsupported_reason)
        if deprecated or reason is None:
            given = next(iter(deprecated), None)
            raise TypeError(
                f"Offer takes no {given!r}."
                if given
                else f"the offer {name!r} needs unsupported_reason, a function."
            )
        self.__attrs_init__(
            name,
            make_launcher,
            reason,
            holds,
            skips,
            spans_groups,
            vector_class,
            ahead_of,
            impossible_reason or reason,
        )

    @property
    def prepare(self) -> Any:
        """What `make_launcher` or `vector_class` was called before."""
        warn_of_former_name("Offer.prepare")
        return self.make_launcher or self.vector_class

    @property
    def refuse(self) -> UnsupportedReason:
        """What `unsupported_reason` was called before."""
        warn_of_former_name("Offer.refuse")
        return self.unsupported_reason


class Algorithm(Protocol):
    """What the selector needs of an algorithm's class."""

    offers: ClassVar[tuple[Offer, ...]]

    @classmethod
    def steps_parts(cls) -> bool:
        """Return whether each rank can step what it holds of a DTensor."""

    @classmethod
    def completes_reductions(cls) -> bool:
        """Return whether what a part is reduced to has to be completed over the mesh."""


class UpdateBody(Algorithm, Protocol):
    """What the implementations need of the class of an algorithm with an update body."""

    is_elementwise: ClassVar[bool]
    buffers: ClassVar[Mapping[str, Buffer]]
    counts_steps: ClassVar[bool]
    update_sparse: ClassVar[Callable[..., None] | None]

    @staticmethod
    def update(p: Any, g: Any, s: Any, h: Any, t: Any) -> None:
        """Update one parameter in place."""


def _renamed(given: dict[str, Any], old: str, value: Any) -> Any:
    """Take what was given by a name of before, with a warning, and `value` otherwise."""
    if old not in given:
        return value
    # 3: past `Offer.__init__`, at the line that makes the offer.
    warn_of_former_name(f"Offer({old}=...)", stacklevel=3)
    return given.pop(old)
