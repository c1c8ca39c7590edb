"""Selecting: which parameters of a model a rule claims, and what is wrong with one of none."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches

from torch import nn

from optkit_core.errors import RuleError, did_you_mean
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.name_folding import shortened
from optkit_core.group_rules.name_patterns import numbers_in
from optkit_core.group_rules.norm_layers import is_norm
from optkit_core.group_rules.rule import Rule

NORM = "norm"
"""What a rule says in place of the classes of norm layers."""


def claimed(rule: Rule, parameters: Sequence[ModelParameter]) -> list[ModelParameter]:
    """Return the parameters that a rule claims.

    Args:
        rule: the rule.
        parameters: those of the model.

    Raises:
        RuleError: there are none; or a pattern, name or class in it fits none.
    """
    found = list(parameters)
    for key, fits in SELECTIONS.items():
        if not getattr(rule, key):
            continue
        if key == "module":
            _require_modules(rule, parameters)
        if key == "ndim":
            _require_shapes(rule, parameters)
        # One by one, since a pattern that fits nothing among others that do is a slip too.
        fitting = {
            item: {id(p) for p in parameters if fits(p, item)} for item in getattr(rule, key)
        }
        if key != "ndim":
            _require_each(rule, key, fitting, parameters)
        found = [p for p in found if any(id(p) in ids for ids in fitting.values())]
    if not found:
        raise RuleError(
            f"it claims nothing: no parameter is of {rule.selection}. "
            f"There are {shortened(p.name for p in parameters)}.",
            index=rule.index,
        )
    return found


def is_of(module: nn.Module, name: str) -> bool:
    """Return whether a module's class, or one that it derives from, has a name.

    Args:
        module: the module.
        name: a class's, with or without the path of its module.
    """
    return any(name in _class_names(cls) for cls in type(module).__mro__)


def _class_names(cls: type) -> tuple[str, str, str]:
    return cls.__name__, cls.__qualname__, f"{cls.__module__}.{cls.__qualname__}"


def _is_owned(parameter: ModelParameter, name: str) -> bool:
    return any(is_norm(m) if name == NORM else is_of(m, name) for m in parameter.owners)


SELECTIONS: dict[str, Callable[..., bool]] = {
    "match": lambda parameter, pattern: numbers_in(parameter.spellings, pattern) is not None,
    "names": lambda parameter, name: name in parameter.spellings,
    "module": _is_owned,
    "ndim": lambda parameter, ndim: parameter.tensor.dim() == ndim,
}
"""For each selecting key whether one of its entries fits a parameter."""


def _require_modules(rule: Rule, parameters: Iterable[ModelParameter]) -> None:
    if not any(parameter.owners for parameter in parameters):
        raise RuleError(
            "'module' asks for the modules, and only names and "
            "parameters were given. Pass the model.",
            index=rule.index,
            key="module",
        )


def _require_shapes(rule: Rule, parameters: Iterable[ModelParameter]) -> None:
    lazy = next((p.name for p in parameters if nn.parameter.is_lazy(p.tensor)), None)
    if lazy is not None:
        raise RuleError(
            f"'ndim' asks for shapes, and {lazy!r} has no shape before the model has seen an "
            "input. Run the model once.",
            index=rule.index,
            key="ndim",
        )


def _require_each(
    rule: Rule,
    key: str,
    fitting: dict[str, set[int]],
    parameters: Sequence[ModelParameter],
) -> None:
    for item, found in fitting.items():
        if found:
            continue
        hint = _class_hint(item, parameters) if key == "module" else _name_hint(item, parameters)
        raise RuleError(f"{key!r}: {item!r} fits nothing.{hint}", index=rule.index, key=key)


def _name_hint(item: str, parameters: Sequence[ModelParameter]) -> str:
    names = [name for parameter in parameters for name in parameter.names]
    corrected = _corrected(item, {part for name in names for part in name.split(".")})
    if any(numbers_in(parameter.spellings, corrected) is not None for parameter in parameters):
        meant = f" Did you mean {corrected!r}?"
    else:
        meant = did_you_mean(item, names)
    return f"{meant} There are {shortened(names)}."


def _corrected(pattern: str, parts: Collection[str]) -> str:
    """Return a pattern with each word in it that no name has replaced by the closest that some has.

    >>> _corrected("blokcs.*.bias", ["blocks", "bias"])
    'blocks.*.bias'
    """

    def closest(word: re.Match[str]) -> str:
        known = word[0] in parts
        return word[0] if known else next(iter(get_close_matches(word[0], sorted(parts))), word[0])

    return re.sub(r"\w+", closest, pattern)


def _class_hint(name: str, parameters: Sequence[ModelParameter]) -> str:
    owners = [type(owner) for parameter in parameters for owner in parameter.owners]
    own = list(dict.fromkeys(cls.__name__ for cls in owners))
    if name == NORM:
        return f" No module with parameters is a norm layer; there are {', '.join(own)}."
    known = dict.fromkeys(c.__name__ for cls in owners for c in cls.__mro__)
    return (
        f"{did_you_mean(name, known)} It is the class of the module that has the parameter "
        f"itself, not of one around it; there are {', '.join(own)}."
    )
