"""Names of parameters: which saved one an optimizer's own is, whatever wraps the model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

import attrs

Spelled: TypeAlias = dict[str, list[str]]
"""Names by how they are spelled without what wrappers add, for example."""

WRAPPERS = frozenset(
    {
        "module",  # DistributedDataParallel, DataParallel, AveragedModel, DeepSpeed
        "_orig_mod",  # torch.compile
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",  # Lightning Fabric
    }
)
"""Attributes in which wrappers keep the module; as parts of a name they don't count."""


@attrs.frozen(eq=False)
class Pairing:
    """Which saved name each of the optimizer's own stands for.

    Args:
        sources: the saved names by the optimizer's own, as far as there are some.
        note: what is different about the names, for the report; ``""`` if nothing is.
        ambiguous: for names that might be paired otherwise too, why.
    """

    sources: Mapping[str, str]
    note: str = ""
    ambiguous: Mapping[str, str] = attrs.Factory(dict)


def bare(name: str) -> str:
    """Return a name without the wrappers' parts.

    >>> bare("module._orig_mod.layer.weight")
    'layer.weight'
    """
    *path, last = name.split(".")
    return ".".join([*(part for part in path if part not in WRAPPERS), last])


def pair(saved: Collection[str], own: Collection[str]) -> Pairing:
    """Pair saved names with an optimizer's own.

    Names are the same if they are equal without the wrappers' parts, or if one and the same
    prefix before every name of one side makes the sides equal. Nothing else is guessed.

    Args:
        saved: different names.
        own: different names.

    >>> pair(["weight", "bias"], ["module.bias", "module.weight"]).sources
    {'module.bias': 'bias', 'module.weight': 'weight'}
    >>> pair(["weight", "bias"], ["model.weight", "model.bias"]).note
    "every name, below 'model.'"
    """
    if set(saved) == set(own):
        return Pairing(dict(zip(own, own, strict=True)))
    spelled, own_spelled = _by_spelling(bare, saved), _by_spelling(bare, own)
    return (
        _nested(_by_spelling(str, saved), _by_spelling(str, own))
        or _nested(spelled, own_spelled)
        or _paired(spelled, own_spelled)
    )


def _by_spelling(spelling: Callable[[str], str], names: Collection[str]) -> Spelled:
    spelled: Spelled = {}
    for name in names:
        spelled.setdefault(spelling(name), []).append(name)
    return spelled


def _nested(saved: Spelled, own: Spelled) -> Pairing | None:
    """Pair names of which one side has a prefix before every one, None if that isn't so."""
    # Two names that are alike without their wrappers' parts could be either.
    if any(len(names) > 1 for names in (*saved.values(), *own.values())):
        return None
    added, removed = _prefix(saved, own), _prefix(own, saved)
    if not added and not removed:
        return None
    sources = {
        names[0]: saved[removed + name if removed else name.removeprefix(added)][0]
        for name, names in own.items()
    }
    if WRAPPERS.issuperset((added or removed).split(".")[:-1]):
        return Pairing(sources)
    way = f"below {added!r}" if added else f"without its {removed!r}"
    return Pairing(sources, f"every name, {way}")


def _prefix(inner: Collection[str], outer: Collection[str]) -> str:
    """Return what makes each name of `outer` of one of `inner`, ``""`` if nothing does."""
    # A common prefix doesn't change the order of names, so sorted ones stand side by side.
    pairs = list(zip(sorted(inner), sorted(outer), strict=False))
    prefix = pairs[0][1].removesuffix(pairs[0][0]) if pairs else ""
    fits = len(inner) == len(outer) and all(prefix + short == long for short, long in pairs)
    return prefix if fits and prefix.endswith(".") else ""


def _paired(saved: Spelled, own: Spelled) -> Pairing:
    """Pair names that are spelled alike; where several are, only those that are equal."""
    sources: dict[str, str] = {}
    ambiguous: dict[str, str] = {}
    for spelled, names in own.items():
        others = saved.get(spelled, [])
        if len(names) == len(others) == 1:
            sources[names[0]] = others[0]
        elif set(names) == set(others):
            sources.update(zip(names, names, strict=True))
        elif others:
            ambiguous |= dict.fromkeys([*names, *others], _ambiguous(spelled, names, others))
    return Pairing(sources, ambiguous=ambiguous)


def _ambiguous(spelled: str, own: Sequence[str], saved: Sequence[str]) -> str:
    sides = (", ".join(map(repr, names)) for names in (own, saved))
    return (
        f"{' here and '.join(sides)} in the checkpoint are all {spelled!r} without the parts that "
        "wrappers add; say by rename= which is which"
    )
