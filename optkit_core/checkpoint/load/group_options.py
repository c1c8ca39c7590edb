"""Options: the hyperparameters and other keys of the groups, verified and restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from optkit_core.checkpoint.load.load_report import Findings
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.load.saved_state import SavedGroup
from optkit_core.checkpoint.load.value_copies import copied
from optkit_core.checkpoint.schema import Schema, savable
from optkit_core.errors import CheckpointError, HyperparameterError
from optkit_core.param_groups.builtin_values import plain
from optkit_core.param_groups.group_keys import LIVE, slip_of


def verify(
    optimizer: Any,
    schema: Schema,
    saved: Sequence[SavedGroup],
    matched: Sequence[MatchedGroup],
    found: Findings,
) -> list[dict[str, Any]]:
    """Check what each group is to take from the checkpoint.

    Args:
        optimizer: whose groups they are.
        schema: that of its class.
        saved: the saved groups.
        matched: which of them belong to which of the optimizer's.
        found: takes in what doesn't fit.

    Returns:
        For each of the optimizer's groups the values to put in place.
    """
    restored = []
    for position, group in enumerate(matched):
        live = optimizer.param_groups[position]
        sources = [(i, saved[i].options) for i in group.sources if i < len(saved)]
        _require_agreement(position, sources, found)
        values = _values(type(optimizer), schema, live, sources[0], found) if sources else {}
        if "param_names" not in live and sources and saved[sources[0][0]].names is not None:
            values["param_names"] = list(saved[sources[0][0]].names or ())
        restored.append(values)
    return restored


def _values(
    owner: Any,
    schema: Schema,
    live: Mapping[str, Any],
    source: tuple[int, Mapping[str, Any]],
    found: Findings,
) -> dict[str, Any]:
    position, options = source
    where = f"saved group {position}"
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name in LIVE:
            continue
        declared = owner.declarations.get(name)
        if declared is None and slip_of(name, owner.declarations):
            found.unexpected.append(f"{where} has a key {name!r:.60}")
            continue
        try:
            values[name] = copied(value if declared is None else plain(value))
        except CheckpointError as error:
            found.refused.append(f"{name} of {where} is {error}")
    for name in owner.declarations:
        if name not in options and name in schema.hyperparameters:
            found.missing.append(f"{where} has no {name}")
        elif name not in LIVE:
            _restore(owner, name, values, live, where, found)
    return values


def _restore(
    owner: Any,
    name: str,
    values: dict[str, Any],
    live: Mapping[str, Any],
    where: str,
    found: Findings,
) -> None:
    """Check one declared value, or set the default of an option that isn't there."""
    declared = owner.declarations[name]
    value = values.setdefault(name, declared.default)
    if name in savable(owner):
        value = values[name] = declared.range.restored(value, live.get(name))
    try:
        values[name] = declared.check(name, value)
    except HyperparameterError as error:
        found.refused.append(f"{where}: {error}")


def _require_agreement(
    position: int, sources: Sequence[tuple[int, Mapping[str, Any]]], found: Findings
) -> None:
    """Say so if the parameters of one group come from saved groups that differ."""
    for other, options in sources[1:]:
        first, expected = sources[0]
        keys = sorted((options.keys() | expected.keys()) - set(LIVE))
        differing = [key for key in keys if not _same(options.get(key), expected.get(key))]
        if differing:
            found.refused.append(
                f"the parameters of group {position} come from the saved groups {first} and "
                f"{other}, which differ in {', '.join(differing)}"
            )


def _same(one: Any, other: Any) -> bool:
    kinds = [(isinstance(value, Tensor), getattr(value, "shape", ())) for value in (one, other)]
    if kinds[0] != kinds[1]:
        return False
    equal = one == other
    return bool(equal.all() if hasattr(equal, "all") else equal)
