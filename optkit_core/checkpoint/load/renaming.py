"""Renaming: what saved parameters are called in the optimizer that loads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from optkit_core.checkpoint.load.load_report import Mismatches
from optkit_core.checkpoint.load.parsing import ParsedState
from optkit_core.errors import CheckpointError, did_you_mean

Rename: TypeAlias = Mapping[str, str] | Callable[[str], str]


def renamed(
    saved: ParsedState, rename: Any, groups: Sequence[Mapping[str, Any]], mismatches: Mismatches
) -> ParsedState:
    """Return a saved state whose parameters have other names.

    Args:
        saved: the saved state.
        rename: the new names by the saved ones, of which those that aren't in it stay; or a
            function from a saved name to the new one.
        groups: the optimizer's parameter groups.
        mismatches: takes in which names became others.

    Raises:
        CheckpointError: it isn't such a thing, names what isn't there, or gives two
            parameters one name; or there are no names to go by.
    """
    if any(group.names is None for group in saved.groups) or any(
        "param_names" not in group for group in groups
    ):
        raise CheckpointError(
            "rename= needs names on both sides: save and load with optimizers that were created "
            "with model.named_parameters()."
        )
    names = [name for group in saved.groups for name in group.names or ()]
    new = dict(zip(names, _new_names(rename, names), strict=True))
    _require_distinct(new)
    mismatches.renamed += [f"{name} to {called}" for name, called in new.items() if name != called]
    return attrs.evolve(
        saved,
        groups=tuple(
            attrs.evolve(group, names=tuple(new[name] for name in group.names or ()))
            for group in saved.groups
        ),
    )


def _new_names(rename: Any, names: Sequence[str]) -> list[str]:
    if isinstance(rename, Mapping):
        for key in rename.keys() - set(names):
            hint = did_you_mean(key, names) if isinstance(key, str) else ""
            raise CheckpointError(f"rename= has {key!r}, which isn't in the checkpoint.{hint}")
        return [_name(name, rename.get(name, name)) for name in names]
    if not callable(rename):
        raise CheckpointError(
            f"rename= must be a mapping of saved names to new ones or a function, got {rename!r}."
        )
    return [_name(name, _called(rename, name)) for name in names]


def _called(function: Callable[[str], Any], name: str) -> Any:
    try:
        return function(name)
    except Exception as error:
        raise CheckpointError(
            f"rename= failed for {name!r}: {type(error).__name__}: {error!s:.100}."
        ) from error


def _name(old: str, new: Any) -> str:
    if not isinstance(new, str):
        raise CheckpointError(f"rename= must make a name of {old!r}, got {new!r:.60}.")
    return new


def _require_distinct(new: Mapping[str, str]) -> None:
    old: dict[str, str] = {}
    for name, called in new.items():
        other = old.setdefault(called, name)
        if other != name:
            raise CheckpointError(f"rename= makes both {other!r} and {name!r} {called!r}.")
