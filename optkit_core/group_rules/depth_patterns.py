"""Depths of parameters as they are given: patterns from the lowest depth to the highest."""

from __future__ import annotations

from collections.abc import Sequence

from optkit_core.errors import RuleError
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.name_folding import shortened
from optkit_core.group_rules.name_patterns import numbers_in
from optkit_core.group_rules.rule import Rule


def depths_by_patterns(rule: Rule, parameters: Sequence[ModelParameter]) -> dict[int, int]:
    """Return the depth of each parameter, from 0 up, by the ``id`` of its tensor.

    Of several patterns that fit, the first counts. Each number that ``{}`` stands for is a depth
    of its own.

    Args:
        rule: one with ``depth``.
        parameters: those that it claims.

    Raises:
        RuleError: a parameter fits no pattern, or a pattern no parameter.
    """
    patterns = [(pattern, place) for place, several in enumerate(rule.depth) for pattern in several]
    keys: dict[int, tuple[int, ...]] = {}
    fitting: set[str] = set()
    for parameter in parameters:
        for pattern, place in patterns:
            numbers = numbers_in(parameter.spellings, pattern)
            if numbers is not None:
                fitting.add(pattern)
                keys.setdefault(id(parameter.tensor), (place, *numbers))
    unplaced = [p.name for p in parameters if id(p.tensor) not in keys]
    if unplaced:
        raise RuleError(
            f"its 'depth' has no place for {shortened(unplaced)}. Add patterns for them, or let "
            "the rule claim less.",
            index=rule.index,
            key="depth",
        )
    idle = next((pattern for pattern, _ in patterns if pattern not in fitting), None)
    if idle is not None:
        raise RuleError(
            f"'depth': {idle!r} fits none of the parameters that the rule claims: "
            f"{shortened(p.name for p in parameters)}.",
            index=rule.index,
            key="depth",
        )
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys.values())))}
    return {identity: ranks[key] for identity, key in keys.items()}
