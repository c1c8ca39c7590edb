"""What the rules say together of each parameter: options, and which rule gave each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from optkit_core.errors import RuleError
from optkit_core.group_rules.layer_depths import Depths
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.name_folding import shortened
from optkit_core.group_rules.option_checks import shared_options
from optkit_core.group_rules.rule import FACTORS, Rule


@attrs.frozen(eq=False)
class Setting:
    """A value, and the rule that has given it."""

    value: Any
    rule: Rule


@attrs.frozen(eq=False)
class Assignment:
    """What the rules say of one parameter.

    Args:
        parameter: it.
        rules: those that claim it and hold, in order; the default is one of them.
        algorithm: the name of what optimizes it; None where nobody says.
        algorithm_rule: the rule that says so.
        settings: what goes into its group by key, without ``algorithm``.
        factors: what multiplies its learning rate.
        is_trained: whether it is to be in a group.
    """

    parameter: ModelParameter
    rules: tuple[Rule, ...]
    algorithm: str | None
    algorithm_rule: Rule | None
    settings: Mapping[str, Setting]
    factors: tuple[Setting, ...]
    is_trained: bool

    def decided(self, key: str) -> Setting | None:
        """Return what the rules say under a key of their own, ``"frozen"`` for example."""
        return _last(key, self.rules)


def assigned(
    parameter: ModelParameter,
    claims: Sequence[Rule],
    default: Rule | None,
    depths: Mapping[int, Depths],
) -> Assignment:
    """Return what the rules say of a parameter.

    Args:
        parameter: the parameter.
        claims: the rules that claim it, in order.
        default: what stands before them.
        depths: of the rules with ``layer_decay``, by their indices.
    """
    every = [rule for rule in (default, *claims) if rule is not None]
    chosen = _last("algorithm", every)
    algorithm = None if chosen is None else chosen.value
    holding = tuple(rule for rule in every if _holds(rule, algorithm))
    given = [(rule, rule.options) for rule in holding]
    if default is not None and default not in holding:
        given.insert(0, (default, shared_options(default)))
    settings = {key: Setting(options[key], rule) for rule, options in given for key in options}
    frozen = _last("frozen", holding)
    is_trained = parameter.tensor.requires_grad if frozen is None else not frozen.value
    return Assignment(
        parameter,
        holding,
        algorithm,
        None if chosen is None else chosen.rule,
        settings,
        tuple(_factors(parameter, holding, depths)),
        is_trained,
    )


def require_no_conflict(claims: Mapping[ModelParameter, Sequence[Rule]]) -> None:
    """Raise where a parameter of an exclusive rule is claimed by a rule that excludes it.

    Args:
        claims: the rules that claim each parameter.

    Raises:
        RuleError: naming both rules and all such parameters.
    """
    conflicts: dict[tuple[Rule, ...], list[str]] = {}
    for parameter, rules in claims.items():
        for rule in filter(lambda rule: rule.exclusive, rules):
            for other in rules:
                if other is not rule and (other.exclusive or other.chooses):
                    pair = sorted((rule, other), key=lambda rule: rule.index)
                    conflicts.setdefault(tuple(pair), []).append(parameter.name)
    for (first, second), names in conflicts.items():
        # Both of them may be exclusive, and then stand twice.
        raise RuleError(
            f"rules[{first.index}] ({first.selection}) and rules[{second.index}] "
            f"({second.selection}) both claim {shortened(dict.fromkeys(names))}. An exclusive rule "
            "shares its parameters with no other exclusive one, nor with one that says 'algorithm' "
            "or 'frozen'."
        )


def _holds(rule: Rule, algorithm: str | None) -> bool:
    """Return whether a rule speaks of parameters that an algorithm optimizes."""
    if rule.algorithm is not None or rule.is_default:
        return rule.algorithm == algorithm
    return True


def _factors(
    parameter: ModelParameter, rules: Sequence[Rule], depths: Mapping[int, Depths]
) -> Iterator[Setting]:
    """Yield what multiplies the learning rate of a parameter."""
    for key in FACTORS:
        last = _last(key, rules)
        if last is None:
            continue
        value = last.value
        if key == "layer_decay":
            found = depths[last.rule.index]
            value = value ** (found.top - found.by_id[id(parameter.tensor)])
        yield Setting(value, last.rule)


def _last(key: str, rules: Sequence[Rule]) -> Setting | None:
    """Return what the last of some rules says under a key that are rules' own."""
    given = [rule for rule in rules if getattr(rule, key) is not None]
    return Setting(getattr(given[-1], key), given[-1]) if given else None
