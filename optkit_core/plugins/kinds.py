"""Kinds of what is found by name: algorithms, schedules, averagings, each a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs
import torch

from optkit_core.errors import (
    AmbiguousAlgorithmError,
    AmbiguousNameError,
    ArgumentError,
    UnknownAlgorithmError,
    UnknownAveragingError,
    UnknownNameError,
    UnknownScheduleError,
    did_you_mean,
)


def normalized(name: str) -> str:
    """Return a name as it is compared: without case, ``-`` and ``_``.

    >>> normalized("RMS-prop") == normalized("rmsprop")
    True
    """
    return name.lower().replace("-", "").replace("_", "")


@attrs.frozen(eq=False)
class Kind:
    """What a registry holds, how it is declared in metadata, and how messages speak of it.

    Args:
        name: the word for it, which the argument ``kind`` takes.
        group: the group of entry points.
        article: the word with its article.
        allowed: what an entry must be, for messages.
        is_allowed: whether something is.
        unknown: the error for a name that nobody has.
        ambiguous: the error for a name that several distributions have.
        endings: what a name may end with beside itself, as the classes of torch do.
        aliases: other names, as they are compared, of those that ship.
    """

    name: str
    group: str
    article: str
    allowed: str
    is_allowed: Callable[[object], bool]
    unknown: type[UnknownNameError]
    ambiguous: type[AmbiguousNameError]
    endings: tuple[str, ...] = ()
    aliases: Mapping[str, str] = MappingProxyType({})

    def spellings(self, name: str) -> list[str]:
        """Return what a name may stand for, as names are compared, the likeliest first.

        >>> KINDS["schedule"].spellings("Cosine_LR")
        ['cosinelr', 'cosine', 'cosineannealing']
        """
        key = normalized(name)
        shortened = [key.removesuffix(end) for end in self.endings if key.endswith(end)]
        found = [key, *filter(None, shortened)]
        return [*found, *(self.aliases[known] for known in found if known in self.aliases)]

    @property
    def listed_by(self) -> str:
        """The calls that list all names, for messages."""
        if self.name == DEFAULT:
            return "optkit.available() and `optkit list` give all names."
        return (
            f"optkit.available(kind={self.name!r}) and `optkit list --kind {self.name}` "
            "give all names."
        )


def kind_called(name: str) -> Kind:
    """Return a kind by its name.

    Raises:
        ArgumentError: there is no such kind.
    """
    if not isinstance(name, str) or name not in KINDS:
        known = ", ".join(map(repr, KINDS))
        hint = did_you_mean(name, KINDS) if isinstance(name, str) else ""
        raise ArgumentError(f"kind must be one of {known}, got {name!r}.{hint}")
    return KINDS[name]


def _is_optimizer_class(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer)


DEFAULT = "algorithm"

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name=DEFAULT,
            group="optkit.algorithms",
            article="an algorithm",
            allowed="a subclass of torch.optim.Optimizer",
            is_allowed=_is_optimizer_class,
            unknown=UnknownAlgorithmError,
            ambiguous=AmbiguousAlgorithmError,
        ),
        Kind(
            name="schedule",
            group="optkit.schedules",
            article="a schedule",
            allowed="a class or function that takes an optimizer and returns a schedule",
            is_allowed=callable,
            unknown=UnknownScheduleError,
            ambiguous=AmbiguousNameError,
            endings=("lr", "scheduler", "schedule"),
            aliases={
                "cosine": "cosineannealing",
                "cosinewarmrestarts": "cosineannealingwarmrestarts",
                "warmrestarts": "cosineannealingwarmrestarts",
                "plateau": "reduceonplateau",
                "reducelronplateau": "reduceonplateau",
                "poly": "polynomial",
            },
        ),
        Kind(
            name="averaging",
            group="optkit.averagings",
            article="an averaging",
            allowed="a class or function that takes a model and returns its average",
            is_allowed=callable,
            unknown=UnknownAveragingError,
            ambiguous=AmbiguousNameError,
            aliases={
                "averagedmodel": "swa",
                "exponentialmovingaverage": "ema",
                "stochasticweightaveraging": "swa",
            },
        ),
    )
}
"""Every kind, by its name."""
