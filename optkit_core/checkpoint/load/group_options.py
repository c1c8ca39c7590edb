"""Options: the hyperparameters and other keys of the groups, verified and restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from torch import Tensor

from optkit_core.checkpoint.load.deep_copy import deep_copy
from optkit_core.checkpoint.load.load_report import Mismatches
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.load.parsing import ParsedGroup
from optkit_core.checkpoint.schema import savable
from optkit_core.declaration.base import Declared
from optkit_core.declaration.roles import ALGORITHM, REQUESTS, role_of
from optkit_core.errors import CheckpointError, HyperparameterError
from optkit_core.param_groups.builtin_values import plain
from optkit_core.param_groups.group_keys import misspelled_name


def verify(
    optimizer: Any,
    saved: Sequence[ParsedGroup],
    matched: Sequence[MatchedGroup],
    mismatches: Mismatches,
) -> list[dict[str, Any]]:
    """Check what each group is to take from the checkpoint.

    Args:
        optimizer: whose groups they are.
        saved: the saved groups.
        matched: which of them belong to which of the optimizer's.
        mismatches: takes in what doesn't fit.

    Returns:
        For each of the optimizer's groups the values to put in place.
    """
    restored = []
    for position, group in enumerate(matched):
        live = optimizer.param_groups[position]
        # A group may be put together from several saved ones, if these agree.
        sources = [(i, saved[i].options) for i in group.sources if i < len(saved)]
        owner = optimizer.algorithm_of(live)
        _require_agreement(owner, position, sources, mismatches)
        values = _values(owner, live, sources[0], mismatches) if sources else {}
        if "param_names" not in live and sources and saved[sources[0][0]].names is not None:
            values["param_names"] = list(saved[sources[0][0]].names or ())
        restored.append(values)
    return restored


def _values(
    owner: type[Declared],
    live: Mapping[str, Any],
    source: tuple[int, Mapping[str, Any]],
    mismatches: Mismatches,
) -> dict[str, Any]:
    position, options = source
    where, before = f"saved group {position}", mismatches.count
    values: dict[str, Any] = {}
    kept = _kept_names(cast(Any, owner))
    for name, value in options.items():
        if name in kept:
            continue
        declared = owner.declarations.get(name)
        # A key that no class declares is loaded as an annotation; a misspelled one would have no
        # effect.
        if declared is None and misspelled_name(name, owner.declarations):
            mismatches.unexpected.append(f"{where} has a key {name!r:.60}")
            continue
        try:
            values[name] = deep_copy(value if declared is None else plain(value))
        except CheckpointError as error:
            mismatches.refused.append(f"{name} of {where} is {error}")
    for name in owner.declarations:
        if name not in options and name in owner.value_names:
            mismatches.missing.append(f"{where} has no {name}")
        elif name not in kept:
            _restore(owner, name, values, live, where, mismatches)
    is_allowed = mismatches.count == before
    complaint = owner.values_complaint({**live, **values}) if is_allowed else ""
    if complaint:
        mismatches.refused.append(f"{where}: {complaint}")
    return values


def _restore(
    owner: Any,
    name: str,
    values: dict[str, Any],
    live: Mapping[str, Any],
    where: str,
    mismatches: Mismatches,
) -> None:
    """Check one declared value, or set the default of an option that isn't there."""
    declared = owner.declarations[name]
    value = values.setdefault(name, declared.default)
    if name in savable(owner):
        value = values[name] = savable(owner)[name].restored(value, live.get(name))
    try:
        values[name] = declared.check(name, value)
    except HyperparameterError as error:
        mismatches.refused.append(f"{where}: {error}")


@cache
def _kept_names(owner: Any) -> frozenset[str]:
    """Return the names of values that stay what they are in a group: those that say how to run."""
    names = {*owner.declarations, *REQUESTS, ALGORITHM}
    roles = {name: role_of(name, owner.declarations) for name in names}
    return frozenset(name for name, role in roles.items() if role and not role.is_restored)


def _require_agreement(
    owner: type[Declared],
    position: int,
    sources: Sequence[tuple[int, Mapping[str, Any]]],
    mismatches: Mismatches,
) -> None:
    """Say so if the parameters of one group come from saved groups that differ."""
    for other, options in sources[1:]:
        first, expected = sources[0]
        keys = sorted((options.keys() | expected.keys()) - _kept_names(cast(Any, owner)))
        differing = [key for key in keys if not _same(options.get(key), expected.get(key))]
        if differing:
            mismatches.refused.append(
                f"the parameters of group {position} come from the saved groups {first} and "
                f"{other}, which differ in {', '.join(differing)}"
            )


def _same(one: Any, other: Any) -> bool:
    kinds = [(isinstance(value, Tensor), getattr(value, "shape", ())) for value in (one, other)]
    if kinds[0] != kinds[1]:
        return False
    equal = one == other
    return bool(equal.all() if hasattr(equal, "all") else equal)
