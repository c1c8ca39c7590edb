"""Depths of parameters as the model tells them: before its blocks, in one of them, or after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from torch import nn

from optkit_core.group_rules.block_stacks import block_paths, described, not_found, paths_around
from optkit_core.group_rules.depth_patterns import depths_by_patterns
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.rule import Rule


@attrs.frozen(eq=False)
class Depths:
    """How deep in a model the parameters lie that a rule claims.

    Args:
        by_id: the depth of each by the ``id`` of its tensor, 0 for the lowest.
        top: the highest depth that there is.
        source: how they were found, for the table.
    """

    by_id: Mapping[int, int]
    top: int
    source: str


def depths(
    rule: Rule, claimed: Sequence[ModelParameter], parameters: Sequence[ModelParameter], model: Any
) -> Depths:
    """Return the depths of the parameters that a rule with ``layer_decay`` claims.

    Args:
        rule: the rule.
        claimed: the parameters that it claims.
        parameters: all of the model's, in its order.
        model: the model, or whatever the parameters came from.

    Raises:
        RuleError: the depths aren't given, and can't be found; says what was looked for.
    """
    if rule.depth:
        given = depths_by_patterns(rule, claimed)
        top = max(given.values())
        return Depths(given, top, f"depths 0 to {top} as given")
    if not isinstance(model, nn.Module):
        raise not_found(rule, "Depths are found in a model, and only parameters were given.")
    modules = dict(model.named_modules())
    paths = block_paths(rule, claimed, parameters, modules)
    found = _by_position(paths, parameters)
    top = len(paths) + 1
    source = f"depths 0 to {top}: {described(paths, modules)}"
    return Depths({id(p.tensor): found[id(p.tensor)] for p in claimed}, top, source)


def _by_position(paths: Sequence[str], parameters: Iterable[ModelParameter]) -> dict[int, int]:
    """Return the depths of all parameters, whose order is that in which a model registers them."""
    blocks = {path: place for place, path in enumerate(paths, start=1)}
    found: dict[int, int] = {}
    last = 0
    for parameter in parameters:
        own = next((blocks[path] for path in paths_around(parameter.name) if path in blocks), None)
        last = own or last
        # Between two blocks, where a stage of the model begins, it goes with the one that follows.
        found[id(parameter.tensor)] = own or (last + 1 if last else 0)
    return found
