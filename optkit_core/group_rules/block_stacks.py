"""The blocks of a model: modules of one kind, one behind the other, in one or several lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from torch import nn

from optkit_core.errors import RuleError, did_you_mean
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.rule import Rule
from optkit_core.group_rules.selecting import is_of
from optkit_core.group_rules.stages import blocks_of_stages

LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
"""Modules that hold blocks one after the other."""

LOOKED_FOR = (
    "Looked for a ModuleList or Sequential of several modules of one class, which have modules of "
    "their own and parameters that the rule claims, and found none."
)

Modules: TypeAlias = Mapping[str, nn.Module]


def block_paths(
    rule: Rule,
    claimed: Iterable[ModelParameter],
    parameters: Iterable[ModelParameter],
    modules: Modules,
) -> list[str]:
    """Return the paths of the blocks of a model, in its order.

    Args:
        rule: the rule, which may name their class.
        claimed: the parameters that it claims.
        parameters: all of the model's.
        modules: those of the model by their paths.

    Raises:
        RuleError: there are no blocks that hold claimed parameters, or several stacks of them.
    """
    modules, holding = _with_parameters(modules, parameters), _with_parameters(modules, claimed)
    stacks: dict[tuple[type, str], list[str]] = {}
    for path in _named(rule, modules) if rule.blocks else _in_lists(modules):
        kind = object if rule.blocks else type(modules[path])
        stacks.setdefault((kind, _in_short(path)), []).append(path)
    found = [paths for paths in stacks.values() if any(path in holding for path in paths)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise not_found(rule, LOOKED_FOR)
    in_stages = [] if rule.blocks else blocks_of_stages(found, modules)
    if in_stages:
        return in_stages
    listed = ", ".join(described(paths, modules) for paths in found)
    hint = "" if rule.blocks else " Say which of them are the layers, by 'blocks': 'ItsClass'."
    raise not_found(
        rule,
        f"There are several stacks of blocks: {listed}.{hint} Or let a rule of its own claim each, "
        "by 'match'.",
    )


def described(paths: Sequence[str], modules: Modules) -> str:
    """Return how many blocks there are, of which classes, and where."""
    kinds = dict.fromkeys(type(modules[path]).__name__ for path in paths)
    return f"{len(paths)} × {' or '.join(kinds)} ({_in_short(paths[0])})"


def paths_around(name: str) -> list[str]:
    """Return the paths of the modules around a parameter, the outermost first."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:length]) for length in range(len(parts) + 1)]


def not_found(rule: Rule, why: str) -> RuleError:
    """Return the error of a rule whose depths can't be found, with the way out."""
    return RuleError(
        f"'layer_decay' needs the depths of the parameters. {why} Or give the depths, 'depth': "
        "['embed.*', 'blocks.{}.*', ['norm.*', 'head.*']] for example.",
        index=rule.index,
        key="layer_decay",
    )


def _with_parameters(modules: Modules, parameters: Iterable[ModelParameter]) -> Modules:
    """Return the modules that hold one of some parameters, themselves or further in."""
    holding = {path for item in parameters for name in item.names for path in paths_around(name)}
    return {path: module for path, module in modules.items() if path in holding}


def _in_lists(modules: Modules) -> list[str]:
    """Return the modules in lists of one class, which have modules of their own.

    One of the lists in the same place, of several stages for example, has several of them.
    """
    found, places = [], set()
    for path, module in modules.items():
        if not isinstance(module, LISTS):
            continue
        inside = [_joined(path, name) for name, _ in module.named_children()]
        inside = [child for child in inside if child in modules]
        kinds = {type(modules[child]) for child in inside}
        # A Linear is a layer of its block, and no block.
        if len(kinds) == 1 and all(_has_inner(modules[child]) for child in inside):
            found.extend(inside)
            places |= {_in_short(child) for child in inside[1:]}
    return [path for path in found if _in_short(path) in places]


def _has_inner(module: nn.Module) -> bool:
    return any(list(child.parameters()) for child in module.children())


def _named(rule: Rule, modules: Modules) -> list[str]:
    """Return the modules of the classes that a rule names, but those inside another of them."""
    found: list[str] = []
    for name in rule.blocks:
        if not any(is_of(module, name) for module in modules.values()):
            known = dict.fromkeys(type(module).__name__ for module in modules.values())
            raise RuleError(
                f"'blocks': {name!r} is the class of no module that has parameters."
                f"{did_you_mean(name, known)} There are {', '.join(known)}.",
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
