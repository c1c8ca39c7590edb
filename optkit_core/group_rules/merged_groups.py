"""Groups from what the rules say of each parameter: those with equal options become one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from optkit_core.composition import members
from optkit_core.declaration.roles import ALGORITHM
from optkit_core.group_rules import option_checks
from optkit_core.group_rules.assignments import Assignment
from optkit_core.group_rules.group_list import GroupRecord
from optkit_core.group_rules.rule import Rule


def merged_groups(trained: Sequence[Assignment], default: Rule | None) -> list[GroupRecord]:
    """Return the groups: as few as have different options, in the order of their first parameters.

    Args:
        trained: what the rules say of each parameter that is to be in a group.
        default: what stands before the rules; its algorithm goes without saying.

    Raises:
        RuleError: an algorithm doesn't take an option or a parameter that rules give it.
        GroupError: one of several algorithms can't be one of several.
    """
    alike: dict[Any, list[Assignment]] = {}
    for item in trained:
        alike.setdefault(_origin(item), []).append(item)
    scaled: dict[Any, Any] = {}
    merged: dict[Any, GroupRecord] = {}
    for items in alike.values():
        options = _options(items, scaled)
        if items[0].algorithm != (default and default.algorithm):
            options = {ALGORITHM: items[0].algorithm, **options}
        merged.setdefault(_comparable(options), GroupRecord(options, [])).assignments.extend(items)
    _require_composable({item.algorithm for item in trained})
    # Groups stand in the order of their first parameters already; what was merged into one doesn't.
    places = {id(item): place for place, item in enumerate(trained)}
    for record in merged.values():
        record.assignments.sort(key=lambda item: places[id(item)])
    return list(merged.values())


def _origin(item: Assignment) -> tuple[Any, ...]:
    """Return what two parameters have in common whose options come from the same rules."""
    settings = tuple((key, setting.rule.index) for key, setting in item.settings.items())
    return item.algorithm, settings, tuple((f.value, f.rule.index) for f in item.factors)


def _options(items: Sequence[Assignment], scaled: dict[Any, Any]) -> dict[str, Any]:
    """Return the options of parameters that have them from the same rules, checked."""
    first, names = items[0], [item.parameter.name for item in items]
    owner = option_checks.class_of(first.algorithm)
    given = {key: setting.value for key, setting in first.settings.items()}
    origins = {key: setting.rule for key, setting in first.settings.items()}
    options = option_checks.checked(owner, given, origins, names)
    option_checks.require_admissible(
        owner, [item.parameter for item in items], first.algorithm_rule
    )
    if first.factors:
        lr = options.get("lr")
        if lr is None:
            lr = option_checks.learning_rate(owner, names, first.factors[0].rule)
        factor = math.prod(setting.value for setting in first.factors)
        # One tensor for all groups that it is equal in, as for a number.
        key = (id(lr) if isinstance(lr, Tensor) else lr, factor)
        options["lr"] = scaled.setdefault(key, lr * factor if factor != 1 else lr)
    return options


def _comparable(value: Any) -> Any:
    """Return something that is equal and hashable where values of groups mean the same."""
    if isinstance(value, Tensor):
        return id(value)
    if isinstance(value, Mapping):
        return frozenset((key, _comparable(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_comparable, value))
    return value if value.__hash__ else id(value)


def _require_composable(algorithms: set[str | None]) -> None:
    """Raise where one of several algorithms can't be one of several."""
    if len(algorithms) > 1:
        for algorithm in sorted(filter(None, algorithms)):
            members.class_of(algorithm)
