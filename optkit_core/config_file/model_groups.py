"""The parameter groups of a model as a configuration has them: by rule, or as they are listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from optkit_core.api import get
from optkit_core.composition.members import class_of
from optkit_core.config_file import algorithm_options
from optkit_core.config_file.documents import Document
from optkit_core.config_file.key_paths import KeyPath
from optkit_core.config_file.rule_validation import possible_algorithms, rule_fault
from optkit_core.config_file.sections import BY_RULE, OptimizerSection
from optkit_core.declaration.roles import ALGORITHM, ANNOTATIONS
from optkit_core.errors import ConfigFault, GroupError, OptkitError, RuleError, did_you_mean
from optkit_core.group_rules import model_parameters
from optkit_core.group_rules.build_groups import groups
from optkit_core.group_rules.rule import KEYS

GROUPS: KeyPath = ("optimizer", "groups")
NAME: KeyPath = ("optimizer", "name")


def model_groups(
    document: Document, section: OptimizerSection, own: Mapping[str, Any], model: torch.nn.Module
) -> list[dict[str, Any]]:
    """Return the group dicts of a model's parameters.

    Args:
        document: the configuration.
        section: its section for the optimizer, valid.
        own: the hyperparameters in it, as the algorithm takes them.
        model: whose parameters they are.

    Raises:
        ConfigFileError: the rules don't fit the model.
    """
    rules = [_taken(section, rule) for rule in section.groups]
    if section.grouping != BY_RULE:
        return _as_listed(document, rules, model)
    try:
        made = groups(model, rules, default={ALGORITHM: section.name, **own})
    except RuleError as error:
        raise document.error([_fault(document, error)]) from error
    except OptkitError as error:
        fault = document.fault(("optimizer",), f"is refused: {error}")
        raise document.error([fault]) from error
    document.raise_for(_composition_faults(document, section, made))
    return made


def _fault(document: Document, error: RuleError) -> ConfigFault:
    if error.index is None:
        return rule_fault(document, GROUPS, error)
    if error.index >= 0:
        return rule_fault(document, (*GROUPS, error.index), error)
    if error.key == ALGORITHM:  # which the section calls its name
        return document.fault(NAME, f"is refused: {error.reason}")
    return rule_fault(document, ("optimizer",), error)


def _composition_faults(
    document: Document, section: OptimizerSection, made: Sequence[Mapping[str, Any]]
) -> Iterator[ConfigFault]:
    """Yield the algorithms of groups that can't be one of several, each where it is named."""
    used = dict.fromkeys(group.get(ALGORITHM, section.name) for group in made)
    several = any(get(name) is not get(section.name) for name in used)
    for name in used if several else ():
        try:
            class_of(name)
        except GroupError as error:
            yield document.fault(_named_at(section, name), f"is refused: {error}")


def _named_at(section: OptimizerSection, name: str) -> KeyPath:
    """Return where an algorithm is named: in the first rule that does it, or by the section."""
    for index, rule in enumerate(section.groups):
        if ALGORITHM in rule and get(rule[ALGORITHM]) is get(name):
            return (*GROUPS, index, ALGORITHM)
    return NAME


def _taken(section: OptimizerSection, rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule with its options as the first algorithm takes them that knows them all."""
    kept = {key: value for key, value in rule.items() if key in KEYS or key in ANNOTATIONS}
    options = {key: value for key, value in rule.items() if key not in kept}
    possible = map(get, possible_algorithms(section, rule))
    algorithm = next(a for a in possible if options.keys() <= algorithm_options.options(a).keys())
    return {**kept, **algorithm_options.taken(algorithm, options)}


def _as_listed(
    document: Document, listed: Sequence[Mapping[str, Any]], model: torch.nn.Module
) -> list[dict[str, Any]]:
    """Return one group for each entry, with its parameters in the order of their names."""
    known = {name: p for p in model_parameters.listed(model) for name in p.spellings}
    document.raise_for(_name_faults(document, listed, known))
    made = []
    for entry in listed:
        options = {key: value for key, value in entry.items() if key != "names"}
        params = [(known[name].name, known[name].tensor) for name in _names(entry)]
        made.append({"params": params, **options})
    return made


def _names(entry: Mapping[str, Any]) -> list[str]:
    names = entry["names"]
    return [names] if isinstance(names, str) else list(names)


def _name_faults(
    document: Document,
    listed: Sequence[Mapping[str, Any]],
    known: Mapping[str, model_parameters.ModelParameter],
) -> Iterator[ConfigFault]:
    """Yield the names that the model doesn't have, and the parameters that stand twice."""
    seen: dict[int, str] = {}
    if not listed:
        yield document.fault(("optimizer",), "has no groups, and grouping is 'as_listed'.")
    for index, entry in enumerate(listed):
        for position, name in enumerate(_names(entry)):
            path = (*GROUPS, index, "names", position)
            if name not in known:
                words = (
                    f"is {name!r}, which the model has no parameter of.{did_you_mean(name, known)}"
                )
                yield document.fault(path, words)
            elif id(known[name]) in seen:
                yield document.fault(path, f"is {name!r}, which stands twice.")
            else:
                seen[id(known[name])] = name
