"""Depths of parameters as the model tells them: before its blocks, in one of them, or after."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
from torch import nn

from optkit_core.errors import RuleError, did_you_mean
from optkit_core.group_rules.depth_patterns import depths_by_patterns
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.rule import Rule
from optkit_core.group_rules.selecting import is_of

LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
"""Modules that hold blocks one after the other."""

LOOKED_FOR = (
    "Looked for a ModuleList or Sequential of several modules of one class, which have modules of "
    "their own, and found none."
)

Modules: TypeAlias = Mapping[str, nn.Module]


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
        raise _not_found(rule, "Depths are found in a model, and only parameters were given.")
    modules = _with_parameters(dict(model.named_modules()), parameters)
    paths = _blocks(rule, modules, _with_parameters(modules, claimed))
    found = _by_position(paths, parameters)
    top = len(paths) + 1
    source = f"depths 0 to {top}: {_described(paths, modules)}"
    return Depths({id(p.tensor): found[id(p.tensor)] for p in claimed}, top, source)


def _by_position(paths: Sequence[str], parameters: Iterable[ModelParameter]) -> dict[int, int]:
    """Return the depths of all parameters, whose order is that in which a model registers them."""
    blocks = {path: place for place, path in enumerate(paths, start=1)}
    found: dict[int, int] = {}
    last = 0
    for parameter in parameters:
        own = next((blocks[path] for path in _parents(parameter.name) if path in blocks), None)
        last = own or last
        # Between two blocks, where a stage of the model begins, it goes with the one that follows.
        found[id(parameter.tensor)] = own or (last + 1 if last else 0)
    return found


def _with_parameters(modules: Modules, parameters: Iterable[ModelParameter]) -> Modules:
    """Return the modules that hold one of some parameters, themselves or further in."""
    holding = {path for item in parameters for name in item.names for path in _parents(name)}
    return {path: module for path, module in modules.items() if path in holding}


def _parents(name: str) -> list[str]:
    """Return the paths of the modules around a parameter, the outermost first."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:length]) for length in range(len(parts) + 1)]


def _blocks(rule: Rule, modules: Modules, holding: Collection[str]) -> list[str]:
    """Return the paths of the blocks of a model, in its order.

    Args:
        rule: the rule, which may name their class.
        modules: those with parameters, by their paths.
        holding: the paths of those with parameters that the rule claims.
    """
    stacks: dict[tuple[type, str], list[str]] = {}
    for path in _named(rule, modules) if rule.blocks else _in_lists(modules):
        kind = object if rule.blocks else type(modules[path])
        stacks.setdefault((kind, _in_short(path)), []).append(path)
    found = [paths for paths in stacks.values() if any(path in holding for path in paths)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise _not_found(rule, LOOKED_FOR)
    listed = ", ".join(_described(paths, modules) for paths in found)
    hint = "" if rule.blocks else " Say which of them are the layers, by 'blocks': 'ItsClass'."
    raise _not_found(
        rule,
        f"There are several stacks of blocks: {listed}.{hint} Or let a rule of its own claim each, "
        "by 'match'.",
    )


def _described(paths: Sequence[str], modules: Modules) -> str:
    kinds = dict.fromkeys(type(modules[path]).__name__ for path in paths)
    return f"{len(paths)} × {' or '.join(kinds)} ({_in_short(paths[0])})"


def _in_lists(modules: Modules) -> list[str]:
    """Return the modules in lists of several of one class, which have modules of their own."""
    found = []
    for path, module in modules.items():
        if not isinstance(module, LISTS):
            continue
        inside = [_joined(path, name) for name, _ in module.named_children()]
        inside = [child for child in inside if child in modules]
        kinds = {type(modules[child]) for child in inside}
        # A Linear is a layer of its block, and no block.
        if (
            len(inside) > 1
            and len(kinds) == 1
            and all(_has_inner(modules[child]) for child in inside)
        ):
            found.extend(inside)
    return found


def _has_inner(module: nn.Module) -> bool:
    return any(list(child.parameters()) for child in module.children())


def _named(rule: Rule, modules: Modules) -> list[str]:
    """Return the modules of the classes that a rule names, but those inside another of them."""
    found: list[str] = []
    for name in rule.blocks:
        if not any(is_of(module, name) for module in modules.values()):
            known = dict.fromkeys(type(module).__name__ for module in modules.values())
            raise RuleError(
                f"'blocks': {name!r} is the class of no module around the parameters that the "
                f"rule claims.{did_you_mean(name, known)} There are {', '.join(known)}.",
                index=rule.index,
                key="blocks",
            )
    for path, module in modules.items():
        is_inside = any(path.startswith(f"{outer}.") for outer in found)
        if not is_inside and any(is_of(module, name) for name in rule.blocks):
            found.append(path)
    return found


def _in_short(path: str) -> str:
    """Return a path without its numbers, in which the blocks of one stack differ.

    >>> _in_short("stages.2.blocks.11")
    'stages.*.blocks.*'
    """
    return re.sub("[0-9]+", "*", path)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _not_found(rule: Rule, why: str) -> RuleError:
    return RuleError(
        f"'layer_decay' needs the depths of the parameters. {why} Or give the depths, 'depth': "
        "['embed.*', 'blocks.{}.*', ['norm.*', 'head.*']] for example.",
        index=rule.index,
        key="layer_decay",
    )
