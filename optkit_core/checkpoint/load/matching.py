"""Matching: which saved parameter is which, by name where both sides have names."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from optkit_core.checkpoint.load import parameter_names
from optkit_core.checkpoint.load.load_report import Findings
from optkit_core.checkpoint.load.saved_state import Saved, SavedGroup

COUNTS_DIFFER = "loaded state dict has a different number of parameter groups"
SIZES_DIFFER = (
    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
)
Group = Mapping[str, Any]


@attrs.frozen(eq=False)
class MatchedGroup:
    """One group of the optimizer: which saved parameter each of its own is.

    Args:
        params: the group's parameters.
        labels: what each of them is called in reports.
        ids: the key of each one's saved state, None where there is none.
        sources: the saved groups that they come from, by position.
    """

    params: Sequence[Tensor]
    labels: Sequence[str]
    ids: Sequence[Hashable | None]
    sources: Sequence[int]


def match(saved: Saved, groups: Sequence[Group], found: Findings) -> list[MatchedGroup]:
    """Pair the parameters of an optimizer's groups with the saved ones.

    Args:
        saved: the saved state.
        groups: the optimizer's parameter groups.
        found: takes in what doesn't match.

    Returns:
        One for each of the optimizer's groups.
    """
    here, there = len(groups), len(saved.groups)
    if here != there:
        sides = f"the optimizer has {_number(here, 'group')}, the checkpoint {there}"
        (found.missing if here > there else found.unexpected).append(sides)
        found.torch_words = COUNTS_DIFFER
    named = all("param_names" in group for group in groups)
    if named and all(group.names is not None for group in saved.groups):
        return _by_name(saved, groups, found)
    return [
        _by_position(i, group, saved.groups[i : i + 1], found) for i, group in enumerate(groups)
    ]


def labels_of(position: int, group: Group) -> list[str]:
    """Return what the parameters of a group are called: their names, or their places."""
    names = group.get("param_names")
    if names is not None:
        return list(names)
    return [f"parameter {i} of group {position}" for i in range(len(group["params"]))]


def _by_position(
    position: int, group: Group, source: Sequence[SavedGroup], found: Findings
) -> MatchedGroup:
    """Match one group with the saved one at its place; of another size, none of it is known."""
    params, labels = group["params"], labels_of(position, group)
    if source and len(source[0].ids) == len(params):
        return MatchedGroup(params, labels, source[0].ids, [position])
    if source:
        found.missing.append(
            f"group {position} has {_number(len(params), 'parameter')}, in the checkpoint "
            f"{len(source[0].ids)}; without names on both sides, none of them can be matched"
        )
        found.torch_words = found.torch_words or SIZES_DIFFER
    return MatchedGroup(params, labels, [None] * len(params), [])


def _by_name(saved: Saved, groups: Sequence[Group], found: Findings) -> list[MatchedGroup]:
    places: dict[str, tuple[int, Hashable]] = {}
    for position, group in enumerate(saved.groups):
        for name, key in zip(group.names or (), group.ids, strict=True):
            if name in places:
                found.refused.append(f"two saved parameters are called {name!r}")
            places[name] = (position, key)
    own = [name for group in groups for name in group["param_names"]]
    pairing = parameter_names.pair(places, own)
    _report(pairing, places, own, found)
    if len(own) != len(places):
        found.torch_words = found.torch_words or SIZES_DIFFER
    known = {name: places[source] for name, source in pairing.sources.items()}
    return [_named(position, group, known) for position, group in enumerate(groups)]


def _report(
    pairing: parameter_names.Pairing, saved: Iterable[str], own: Sequence[str], found: Findings
) -> None:
    """Say which names have no counterpart, and which might have several."""
    lacking = [n for n in own if n not in pairing.sources and n not in pairing.ambiguous]
    taken = {*pairing.sources.values(), *pairing.ambiguous}
    foreign = [name for name in saved if name not in taken]
    found.missing += [f"{name} isn't in the checkpoint" for name in lacking]
    found.unexpected += [f"{name} is in the checkpoint only" for name in foreign]
    found.refused += dict.fromkeys(pairing.ambiguous.values())
    found.renamed += [pairing.note] if pairing.note else []
    found.names_differ = bool(lacking and foreign)


def _named(position: int, group: Group, known: Mapping[str, tuple[int, Hashable]]) -> MatchedGroup:
    """Match one group by what is known of its parameters' names."""
    names = group["param_names"]
    pairs = [known.get(name) for name in names]
    sources = list(dict.fromkeys(pair[0] for pair in pairs if pair is not None))
    ids = [None if pair is None else pair[1] for pair in pairs]
    return MatchedGroup(group["params"], names, ids, sources if names else [position])


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
