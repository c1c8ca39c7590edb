"""`optkit.groups`: torch's parameter groups from a model and rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from optkit_core.composition import members
from optkit_core.declaration.roles import ALGORITHM
from optkit_core.errors import GroupError, RuleError
from optkit_core.group_rules import assignments, layer_depths, model_parameters, option_checks
from optkit_core.group_rules.assignments import Assignment
from optkit_core.group_rules.group_list import GroupList, GroupRecord, Outcome
from optkit_core.group_rules.layer_depths import Depths
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.name_folding import shortened
from optkit_core.group_rules.rule import Rule, parsed, parsed_default
from optkit_core.group_rules.selecting import claimed


def groups(
    model: nn.Module | Iterable[tuple[str, Tensor]],
    rules: Iterable[Mapping[str, Any]],
    *,
    default: Mapping[str, Any] | None = None,
) -> GroupList:
    """Return parameter groups as ordered rules make them of a model's parameters.

    Where two rules set the same key for a parameter, the later one wins. Parameters that don't
    require gradients are left out. A rule with ``frozen`` switches gradients off where it is true
    and on where it is false, once everything is checked; the model is changed in no other way.

    Args:
        model: the model; or its ``named_parameters()``, with which rules can't go by modules.
        rules: mappings, in order. ``match`` (shell patterns), ``names``, ``module`` (names of
            classes, or ``"norm"``) and ``ndim`` say which parameters a rule claims: those that
            fit all that it has. ``lr_scale``, ``layer_decay`` (with ``blocks`` or ``depth``),
            ``frozen``, ``algorithm`` and any hyperparameter say what becomes of them, and
            ``exclusive`` that they are for no other exclusive rule.
        default: hyperparameters, and ``"algorithm"``, of all parameters as far as no rule says
            otherwise. None (default): each parameter needs a rule.

    Returns:
        A list of torch's group dicts with ``"params"``, ``"param_names"`` and options, for
        `optkit.create` and for classes of ``torch.optim``; as few as have different options, in
        the order of their first parameters. It prints as a table of who set what.

    Raises:
        RuleError: a rule is wrong, or claims nothing; two that exclude each other claim one
            parameter; one that is to train is claimed by none, without a default.
        ParametersError: `model` isn't one, nor pairs of name and parameter.
        GroupError: there is nothing to train.

    >>> import torch, optkit
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    >>> rule = {"module": "norm", "weight_decay": 0.0}
    >>> made = optkit.groups(model, [rule], default={"weight_decay": 0.1})
    >>> [(group["param_names"], group["weight_decay"]) for group in made]
    [(['0.weight', '0.bias'], 0.1), (['1.weight', '1.bias'], 0.0)]
    """
    parameters = model_parameters.listed(model)
    checked_rules = parsed(rules)
    fallback = None if default is None else parsed_default(default)
    claims = {rule.index: claimed(rule, parameters) for rule in checked_rules}
    depths = {
        rule.index: layer_depths.depths(rule, claims[rule.index], parameters, model)
        for rule in checked_rules
        if rule.layer_decay is not None
    }
    assigned = _assignments(parameters, checked_rules, fallback, claims, depths)
    trained = [item for item in assigned if item.is_trained]
    _require_claimed(trained)
    records = _records(trained, fallback)
    _set_gradients(assigned)
    outcome = Outcome(checked_rules, fallback, assigned, claims, depths, records)
    return GroupList(outcome)


def _assignments(
    parameters: Sequence[ModelParameter],
    rules: Sequence[Rule],
    default: Rule | None,
    claims: Mapping[int, Sequence[ModelParameter]],
    depths: Mapping[int, Depths],
) -> list[Assignment]:
    """Return what the rules say of each parameter."""
    claiming: dict[ModelParameter, list[Rule]] = {parameter: [] for parameter in parameters}
    for rule in rules:
        for parameter in claims[rule.index]:
            claiming[parameter].append(rule)
    assignments.require_no_conflict(claiming)
    return [assignments.assigned(p, found, default, depths) for p, found in claiming.items()]


def _require_claimed(trained: Sequence[Assignment]) -> None:
    if not trained:
        raise GroupError("there is nothing to train: every parameter is frozen.")
    unclaimed = [item.parameter.name for item in trained if not item.rules]
    if unclaimed:
        raise RuleError(
            f"no rule claims {shortened(unclaimed)}. Add a rule for them, or say what holds for "
            "the rest, by default={'weight_decay': 0.1} for example, or default={}."
        )


def _records(trained: Sequence[Assignment], default: Rule | None) -> list[GroupRecord]:
    """Return the groups: as few as have different options, in the order of their first."""
    alike: dict[Any, list[Assignment]] = {}
    for item in trained:
        alike.setdefault(_origin(item), []).append(item)
    scaled: dict[Any, Any] = {}
    merged: dict[Any, GroupRecord] = {}
    for items in alike.values():
        options = _options(items, scaled)
        if items[0].algorithm != (default and default.algorithm):
            options = {ALGORITHM: items[0].algorithm, **options}
        merged.setdefault(_comparable(options), GroupRecord(options, [])).assignments.extend(items)
    _require_composable({item.algorithm for item in trained})
    return _in_order(merged.values(), trained)


def _origin(item: Assignment) -> tuple[Any, ...]:
    """Return what two parameters have in common whose options come from the same rules."""
    settings = tuple((key, setting.rule.index) for key, setting in item.settings.items())
    return item.algorithm, settings, tuple((f.value, f.rule.index) for f in item.factors)


def _options(items: Sequence[Assignment], scaled: dict[Any, Any]) -> dict[str, Any]:
    """Return the options of parameters that have them from the same rules, checked."""
    first, names = items[0], [item.parameter.name for item in items]
    owner = option_checks.class_of(first.algorithm)
    given = {key: setting.value for key, setting in first.settings.items()}
    origins = {key: setting.rule for key, setting in first.settings.items()}
    options = option_checks.checked(owner, given, origins, names)
    option_checks.require_admissible(
        owner, [item.parameter for item in items], first.algorithm_rule
    )
    if first.factors:
        lr = options.get("lr")
        if lr is None:
            lr = option_checks.learning_rate(owner, names, first.factors[0].rule)
        factor = math.prod(setting.value for setting in first.factors)
        # One tensor for all groups that it is equal in, as for a number.
        key = (id(lr) if isinstance(lr, Tensor) else lr, factor)
        options["lr"] = scaled.setdefault(key, lr * factor if factor != 1 else lr)
    return options


def _comparable(value: Any) -> Any:
    """Return something that is equal and hashable where values of groups mean the same."""
    if isinstance(value, Tensor):
        return id(value)
    if isinstance(value, Mapping):
        return frozenset((key, _comparable(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_comparable, value))
    return value if value.__hash__ else id(value)


def _in_order(records: Iterable[GroupRecord], trained: Sequence[Assignment]) -> list[GroupRecord]:
    """Sort groups, and the parameters in each, as the model has its parameters."""
    places = {id(item): place for place, item in enumerate(trained)}
    for record in records:
        record.assignments.sort(key=lambda item: places[id(item)])
    return sorted(records, key=lambda record: places[id(record.assignments[0])])


def _require_composable(algorithms: set[str | None]) -> None:
    """Raise where one of several algorithms can't be one of several."""
    if len(algorithms) > 1:
        for algorithm in sorted(filter(None, algorithms)):
            members.class_of(algorithm)


def _set_gradients(assigned: Sequence[Assignment]) -> None:
    """Switch gradients off and on as the rules say.

    Raises:
        RuleError: a parameter that isn't to be frozen can't have a gradient; nothing is changed.
    """
    decided = [(item.parameter, item.decided("frozen")) for item in assigned]
    for parameter, setting in decided:
        dtype = parameter.tensor.dtype
        if setting and not setting.value and not (dtype.is_floating_point or dtype.is_complex):
            raise RuleError(
                f"{parameter.name!r} is of {dtype} and can't have a gradient; leave it frozen.",
                index=setting.rule.index,
                key="frozen",
            )
    for parameter, setting in decided:
        if setting is not None:
            parameter.tensor.requires_grad_(not setting.value)
