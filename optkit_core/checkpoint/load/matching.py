"""Matching: which saved parameter is which, by name where both sides have names."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from optkit_core.checkpoint.load import parameter_names
from optkit_core.checkpoint.load.load_report import Mismatches
from optkit_core.checkpoint.load.parsing import ParsedGroup, ParsedState

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


def match(
    saved: ParsedState, groups: Sequence[Group], mismatches: Mismatches
) -> list[MatchedGroup]:
    """Pair the parameters of an optimizer's groups with the saved ones.

    Args:
        saved: the saved state.
        groups: the optimizer's parameter groups.
        mismatches: takes in what doesn't match.

    Returns:
        One for each of the optimizer's groups.
    """
    own, others = len(groups), len(saved.groups)
    if own != others:
        counts = f"the optimizer has {_counted(own, 'group')}, the checkpoint {others}"
        (mismatches.missing if own > others else mismatches.unexpected).append(counts)
        mismatches.torch_words = COUNTS_DIFFER
    # Names stay true when layers are moved or groups split; positions don't.
    named = all("param_names" in group for group in groups)
    if named and all(group.names is not None for group in saved.groups):
        return _by_name(saved, groups, mismatches)
    return [
        _by_position(i, group, saved.groups[i : i + 1], mismatches)
        for i, group in enumerate(groups)
    ]


def labels_of(position: int, group: Group) -> list[str]:
    """Return what the parameters of a group are called: their names, or their positions.

    Args:
        position: of the group, from 0.
        group: the parameter group.
    """
    names = group.get("param_names")
    if names is not None:
        return list(names)
    return [f"parameter {i} of group {position}" for i in range(len(group["params"]))]


def _by_position(
    position: int, group: Group, source: Sequence[ParsedGroup], mismatches: Mismatches
) -> MatchedGroup:
    """Match one group with the saved one at its position; none of it where the sizes differ."""
    params, labels = group["params"], labels_of(position, group)
    if source and len(source[0].ids) == len(params):
        return MatchedGroup(params, labels, source[0].ids, [position])
    if source:
        mismatches.missing.append(
            f"group {position} has {_counted(len(params), 'parameter')}, in the checkpoint "
            f"{len(source[0].ids)}; without names on both sides, none of them can be matched"
        )
        mismatches.torch_words = mismatches.torch_words or SIZES_DIFFER
    return MatchedGroup(params, labels, [None] * len(params), [])


def _by_name(
    saved: ParsedState, groups: Sequence[Group], mismatches: Mismatches
) -> list[MatchedGroup]:
    positions: dict[str, tuple[int, Hashable]] = {}
    for position, group in enumerate(saved.groups):
        for name, key in zip(group.names or (), group.ids, strict=True):
            if name in positions:
                mismatches.refused.append(f"two saved parameters are called {name!r}")
            positions[name] = (position, key)
    own = [name for group in groups for name in group["param_names"]]
    pairing = parameter_names.pair(positions, own)
    _report(pairing, positions, own, mismatches)
    # In brackets below optkit's own message, for code that matches torch's.
    if len(own) != len(positions):
        mismatches.torch_words = mismatches.torch_words or SIZES_DIFFER
    known = {name: positions[source] for name, source in pairing.sources.items()}
    return [_named(position, group, known) for position, group in enumerate(groups)]


def _report(
    pairing: parameter_names.Pairing,
    saved: Iterable[str],
    own: Sequence[str],
    mismatches: Mismatches,
) -> None:
    """Say which names have no counterpart, and which might have several."""
    lacking = [n for n in own if n not in pairing.sources and n not in pairing.ambiguous]
    taken = {*pairing.sources.values(), *pairing.ambiguous}
    unmatched = [name for name in saved if name not in taken]
    mismatches.missing += [f"{name} isn't in the checkpoint" for name in lacking]
    mismatches.unexpected += [f"{name} is in the checkpoint only" for name in unmatched]
    mismatches.refused += dict.fromkeys(pairing.ambiguous.values())
    mismatches.renamed += [pairing.note] if pairing.note else []
    mismatches.names_differ = bool(lacking and unmatched)


def _named(position: int, group: Group, known: Mapping[str, tuple[int, Hashable]]) -> MatchedGroup:
    """Match one group by what is known of its parameters' names."""
    names = group["param_names"]
    pairs = [known.get(name) for name in names]
    sources = list(dict.fromkeys(pair[0] for pair in pairs if pair is not None))
    ids = [None if pair is None else pair[1] for pair in pairs]
    return MatchedGroup(group["params"], names, ids, sources if names else [position])


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
