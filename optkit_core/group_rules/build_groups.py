"""`optkit.groups`: torch's parameter groups from a model and rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from optkit_core.errors import GroupError, RuleError
from optkit_core.group_rules import assignments, layer_depths, model_parameters
from optkit_core.group_rules.assignments import Assignment
from optkit_core.group_rules.group_list import GroupList, Outcome
from optkit_core.group_rules.layer_depths import Depths
from optkit_core.group_rules.merged_groups import merged_groups
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
    records = merged_groups(trained, fallback)
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
        raise GroupError(
            "there is nothing to train: every parameter is frozen. A rule with 'frozen': False, "
            "after the others, lets those train that it claims."
        )
    unclaimed = [item.parameter.name for item in trained if not item.rules]
    if unclaimed:
        raise RuleError(
            f"no rule claims {shortened(unclaimed)}. Add a rule for them, or say what holds for "
            "the rest, by default={'weight_decay': 0.1} for example, or default={}."
        )


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
