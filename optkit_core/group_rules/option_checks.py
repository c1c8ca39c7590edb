"""Options from rules, checked as the constructor of their algorithm would check them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from optkit_core.declaration.roles import ANNOTATIONS, REQUESTS
from optkit_core.errors import RuleError, did_you_mean
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.name_folding import shortened
from optkit_core.group_rules.rule import Rule
from optkit_core.optimizer import Optimizer
from optkit_core.plugins import entry_points


def class_of(algorithm: str | None) -> type[Any] | None:
    """Return the class of an algorithm, None where nobody says which it is."""
    return None if algorithm is None else entry_points.load(algorithm)


def shared_options(default: Rule) -> Mapping[str, Any]:
    """Return what of the default holds for other algorithms than its own too.

    These are its options, ``maximize`` for example: hyperparameters are those of one algorithm.
    """
    owner = class_of(default.algorithm)
    if owner is None or not issubclass(owner, Optimizer):
        return {}
    declared = owner.declarations
    return {k: v for k, v in default.options.items() if k in declared and declared[k].is_option}


def checked(
    owner: type[Any] | None,
    options: Mapping[str, Any],
    rules: Mapping[str, Rule],
    names: Sequence[str],
) -> dict[str, Any]:
    """Return options of a group as the algorithm keeps them.

    Args:
        owner: the algorithm's class; None: it isn't known, and everything passes.
        options: what goes into the group.
        rules: the rule that has given each.
        names: of the parameters, for messages.

    Raises:
        RuleError: the algorithm doesn't take one of them, or not this value.
    """
    if owner is None:
        return dict(options)
    for key in options:
        if key not in ANNOTATIONS | REQUESTS and not _takes_anything(owner):
            _require_known(owner, key, rules[key], names)
    if not issubclass(owner, Optimizer):
        return dict(options)
    kept = {key: _checked_value(owner, key, value, rules[key]) for key, value in options.items()}
    complaint = owner.values_complaint({**owner.default_values, **kept})
    if complaint:
        raise RuleError(f"what the rules give {shortened(names)} doesn't go together: {complaint}")
    return kept


def require_admissible(
    owner: type[Any] | None, parameters: Iterable[ModelParameter], rule: Rule | None
) -> None:
    """Raise for the first parameter that an algorithm can't optimize.

    Args:
        owner: the algorithm's class, None where it isn't known.
        parameters: what it is to optimize.
        rule: the rule that says so.

    Raises:
        RuleError: naming the parameter, and why.
    """
    if owner is None or not issubclass(owner, Optimizer) or not owner.restricts_parameters:
        return
    for parameter in parameters:
        complaint = owner.parameter_complaint(parameter.tensor)
        if complaint:
            index = None if rule is None else rule.index
            raise RuleError(f"{parameter.name!r} {complaint}", index=index, key="algorithm")


def learning_rate(owner: type[Any] | None, names: Sequence[str], rule: Rule) -> float | Tensor:
    """Return the learning rate of an algorithm where no rule sets it.

    Args:
        owner: the algorithm's class, None where it isn't known.
        names: of the parameters, for messages.
        rule: the rule that multiplies it.

    Raises:
        RuleError: nobody knows it.
    """
    lr: Any = None
    if owner is not None and issubclass(owner, Optimizer):
        lr = owner.default_values.get("lr")
    elif owner is not None and "lr" in inspect.signature(owner).parameters:
        lr = inspect.signature(owner).parameters["lr"].default
    if not isinstance(lr, (float, int, Tensor)):
        raise RuleError(
            f"it multiplies the learning rate of {shortened(names)}, which nobody gives. Give it "
            "in a rule or the default: default={'lr': 1e-3} for example.",
            index=rule.index,
        )
    return lr


def _takes_anything(owner: type[Any]) -> bool:
    """Return whether a class that isn't optkit's takes keywords that its signature doesn't name."""
    if issubclass(owner, Optimizer):
        return False
    kinds = [item.kind for item in inspect.signature(owner).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _require_known(owner: type[Any], key: str, rule: Rule, names: Sequence[str]) -> None:
    """Raise unless a class takes a keyword."""
    if issubclass(owner, Optimizer):
        known = [name for name, item in owner.declarations.items() if item.is_argument]
    else:
        known = [name for name in inspect.signature(owner).parameters if name != "params"]
    if key not in known:
        raise RuleError(
            f"{owner.__name__} takes no {key!r}, which the rule gives {shortened(names)}."
            f"{did_you_mean(key, known)} It takes {', '.join(known)}.",
            index=rule.index,
            key=key,
        )


def _checked_value(owner: type[Optimizer], key: str, value: Any, rule: Rule) -> Any:
    declaration = owner.declarations.get(key)
    if declaration is None:
        return value
    complaint = declaration.range.complaint(key, value)
    if complaint:
        raise RuleError(complaint, index=rule.index, key=key)
    return declaration.check(key, value)
