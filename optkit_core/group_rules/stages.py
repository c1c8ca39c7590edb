"""Stages: blocks that are nothing but further blocks, one behind the other, and a way to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn


def blocks_of_stages(
    stacks: Sequence[Sequence[str]], modules: Mapping[str, nn.Module]
) -> list[str]:
    """Return the blocks in the stages of a model, in its order; none where it has no stages.

    The blocks of one stack are stages if each holds blocks of the other stacks in a `Sequential`,
    or is one, and besides them at most one module with parameters: the layer that leads from a
    stage to the next. The modules of a `Sequential` run one behind the other; those of a
    ``ModuleList`` may run side by side, as experts do, and so don't count.

    Args:
        stacks: the paths of blocks, by stacks.
        modules: those of the model that have parameters, by their paths.
    """
    for stack in stacks:
        others = {path for other in stacks if other is not stack for path in other}
        inside = [_blocks_of_stage(stage, others, modules) for stage in stack]
        if all(inside) and sum(map(len, inside)) == len(others):
            return [path for blocks in inside for path in blocks]
    return []


def _blocks_of_stage(stage: str, blocks: set[str], modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the blocks that a stage holds, in its order; none where it isn't a stage."""
    if any(True for _ in modules[stage].parameters(recurse=False)):
        return []
    lists = [stage, *_children(stage, modules)]
    for path in lists:
        held = _children(path, modules)
        is_list = isinstance(modules[path], nn.Sequential) and held and blocks.issuperset(held)
        if is_list and (path == stage or len(lists) <= 3):
            return held
    return []


def _children(path: str, modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the paths of the modules right below another, in its order."""
    named = modules[path].named_children()
    return [child for name, _ in named if (child := f"{path}.{name}") in modules]
