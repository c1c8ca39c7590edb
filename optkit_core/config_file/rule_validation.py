"""Validation of the entries of ``optimizer.groups``, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from optkit_core.api import get
from optkit_core.config_file import algorithm_options
from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath
from optkit_core.config_file.sections import AS_LISTED, BY_RULE, OptimizerSection
from optkit_core.config_file.setting_ranges import SettingText
from optkit_core.config_file.structuring import refusal
from optkit_core.declaration.roles import ALGORITHM
from optkit_core.errors import ConfigFault, OptkitError, RuleError
from optkit_core.group_rules import rule

NAMES = "names"

LABELS = {"name": SettingText("norms")}
"""Keys of a group that no step depends on and an entry may have."""

LISTABLE = (NAMES, ALGORITHM)
"""Keys of a rule's own that a group can have which is as it is listed."""


def faults(
    document: Document, index: int, section: OptimizerSection, entry: Mapping[str, Any]
) -> Iterator[ConfigFault]:
    """Yield what is wrong with one entry: its own keys, then the hyperparameters in it.

    Args:
        document: where it stands.
        index: of the entry.
        section: of which it is one; hyperparameters in it that are wrong are left out.
        entry: the entry.
    """
    path: KeyPath = ("optimizer", "groups", index)
    found = list(_own_faults(document, path, section, entry))
    yield from found
    if found:
        return
    names = possible_algorithms(section, entry)
    refused = [list(_option_faults(document, path, section, entry, name)) for name in names]
    yield from min(refused, key=len)  # none, where one of the algorithms takes everything


def possible_algorithms(section: OptimizerSection, entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the algorithms that may optimize what an entry claims.

    Args:
        section: of which it is one.
        entry: the entry. Where a rule names no algorithm, another one may say it of the same
            parameters, and the model shows which.
    """
    if ALGORITHM in entry:
        return [entry[ALGORITHM]]
    return list(dict.fromkeys([section.name, *filter(_is_known, _named(section))]))


def _named(section: OptimizerSection) -> list[Any]:
    """Return what the rules of a section name as algorithms."""
    rules = section.groups if section.grouping == BY_RULE else ()
    return [rule[ALGORITHM] for rule in rules if ALGORITHM in rule]


def rule_fault(document: Document, path: KeyPath, error: RuleError) -> ConfigFault:
    """Return what a rule's error says, with the path of the rule.

    Args:
        document: where the rule stands.
        path: of the rule.
        error: the error.
    """
    key = () if error.key is None else (error.key,)
    return document.fault((*path, *key), f"is refused: {error.reason}")


def _option_faults(
    document: Document,
    path: KeyPath,
    section: OptimizerSection,
    entry: Mapping[str, Any],
    name: str,
) -> Iterator[ConfigFault]:
    """Yield what is wrong with an entry's hyperparameters, as those of an algorithm."""
    possible = possible_algorithms(section, entry)
    meant = (key for other in possible for key in algorithm_options.options(get(other)))
    # A key that none of them has may be one of the algorithm that a misspelled name stands for.
    is_certain = ALGORITHM in entry or all(map(_is_known, _named(section)))
    yield from algorithm_options.faults(
        document,
        path,
        name,
        {key: value for key, value in entry.items() if key not in rule.KEYS},
        beside=section.hyperparameters if get(name) is get(section.name) else {},
        allowed=LABELS if is_certain else {*LABELS, *entry},
        also=[*rule.KEYS, *meant],
    )


def _is_known(name: Any) -> bool:
    """Return whether an algorithm has a name, which the entry that says it is told otherwise."""
    try:
        get(name)
    except OptkitError:
        return False
    return True


def _own_faults(
    document: Document, path: KeyPath, section: OptimizerSection, entry: Mapping[str, Any]
) -> Iterator[ConfigFault]:
    """Yield what is wrong with an entry's own keys."""
    ranges = {key: item.metadata["range"] for key, item in rule.KEYS.items()} | LABELS
    for key in [key for key in entry if key in ranges]:
        refused = refusal(ranges[key], key, entry[key])
        if refused:
            yield document.fault((*path, key, *refused[0]), refused[1])
            return
    try:
        get(entry.get(ALGORITHM, section.name))
    except OptkitError as error:
        yield document.fault((*path, ALGORITHM), f"is refused: {error}")
        return
    if section.grouping == AS_LISTED:
        yield from _unlistable(document, path, entry)
        return
    try:
        rule.parsed([entry])
    except RuleError as error:
        yield rule_fault(document, path, error)


def _unlistable(
    document: Document, path: KeyPath, entry: Mapping[str, Any]
) -> Iterator[ConfigFault]:
    """Yield what a group can't have, or lacks, that is as it is listed."""
    where = f"where grouping is {AS_LISTED!r}"
    for key in entry:
        if key in rule.KEYS and key not in LISTABLE:
            yield document.fault((*path, key), f"can't be said {where}: a group has 'names' there.")
    if NAMES not in entry:
        yield document.fault(path, f"has no 'names', which it needs {where}.")
