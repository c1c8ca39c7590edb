"""The sections of a configuration, as typed classes: each setting with its range and its default.

What `structured` fills in, what the JSON Schema says and what the reference lists come from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from optkit_core.config_file.setting_ranges import SettingText, Tables
from optkit_core.declaration.ranges import Range, at_least, boolean, one_of, whole

STEP, EPOCH = "step", "epoch"
INTERVALS = (STEP, EPOCH)
"""When something happens: after each step of the optimizer, or after each epoch."""

BY_RULE, AS_LISTED = "by_rule", "as_listed"
"""How the entries of ``groups`` are read."""


def setting(default: Any = attrs.NOTHING, *, range: Range, doc: str) -> Any:
    """Declare a setting of a section.

    Args:
        default: its value where none is given; without one it has to be given.
        range: what is allowed.
        doc: one phrase.
    """
    return attrs.field(default=default, metadata={"range": range, "doc": doc})


def rest(doc: str) -> Any:
    """Declare what takes the keys of a section that aren't settings of it.

    Args:
        doc: what they are.
    """
    return attrs.field(factory=dict, metadata={"doc": doc})


@attrs.frozen
class OptimizerSection:
    """The optimizer: an algorithm, its hyperparameters, and rules for groups of parameters."""

    name: str = setting(range=SettingText("adamw"), doc="the algorithm")
    groups: Sequence[Mapping[str, Any]] = setting(
        (), range=Tables(), doc="rules for groups, in order"
    )
    grouping: str = setting(
        BY_RULE,
        range=one_of(BY_RULE, AS_LISTED),
        doc="whether rules make the groups, or each entry is one group as it stands, with `names`",
    )
    hyperparameters: Mapping[str, Any] = rest("hyperparameters and options of the algorithm")


@attrs.frozen
class ScheduleSection:
    """The schedule of the learning rate."""

    name: str = setting(range=SettingText("cosine_annealing"), doc="the schedule")
    interval: str | None = setting(
        None,
        range=one_of(*INTERVALS, None),
        doc="when it advances: after each step (default), or after each epoch",
    )
    arguments: Mapping[str, Any] = rest("arguments of the schedule, `warmup` among them")


@attrs.frozen
class AveragingSection:
    """The average of the weights."""

    name: str = setting(range=SettingText("ema"), doc="the kind of averaging")
    interval: str = setting(
        STEP,
        range=one_of(*INTERVALS),
        doc="what is counted by `every` and `start`: steps of the optimizer, or epochs",
    )
    every: int = setting(1, range=whole(1), doc="how many of them lie between two updates")
    start: int = setting(0, range=whole(0), doc="how many of them pass before the first update")
    arguments: Mapping[str, Any] = rest("arguments of the averaging")


@attrs.frozen
class ClippingSection:
    """The clipping of gradients, by their common norm or each by its value."""

    norm: float | None = setting(
        None, range=at_least(0.0, infinite=True, optional=True), doc="largest norm of all gradients"
    )
    norm_type: float = setting(
        2.0, range=at_least(0.0, infinite=True), doc="the p of the norm; `inf` is the largest entry"
    )
    value: float | None = setting(
        None, range=at_least(0.0, optional=True), doc="largest absolute value of an entry"
    )
    error_if_nonfinite: bool = setting(
        False, range=boolean(), doc="whether a norm that isn't finite is an error"
    )


SECTIONS: dict[str, type[Any]] = {
    "optimizer": OptimizerSection,
    "schedule": ScheduleSection,
    "averaging": AveragingSection,
    "clipping": ClippingSection,
}
"""The sections that are tables, by their keys."""

TOP_KEYS = ("optimizer", "implementation", "schedule", "averaging", "clipping")
"""The keys of a configuration; ``implementation`` alone may be a text."""

SCHEMA = "$schema"
"""The key by which a JSON file names its schema to editors."""


def settings_of(section: type[Any]) -> dict[str, attrs.Attribute[Any]]:
    """Return the settings of a section by name, without what takes all other keys.

    >>> list(settings_of(AveragingSection))
    ['name', 'interval', 'every', 'start']
    """
    fields = attrs.fields(section)
    return {field.name: field for field in fields if "range" in field.metadata}
