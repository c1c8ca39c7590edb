"""Saving: an optimizer's state and groups as a dict that torch.optim understands too."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch

from optkit_core.checkpoint.load.deep_copy import deep_copy
from optkit_core.checkpoint.schema import STATES, TAG, WRITER, savable, schema_of, writer_of
from optkit_core.param_groups.builtin_values import BUILTIN_TYPES, plain
from optkit_core.plugins import hook_calls
from optkit_core.shards.placements import are_any_distributed
from optkit_core.step import garbage_collector
from optkit_core.torch_hooks import hooks_of

AS_THEY_ARE = frozenset({list, dict, torch.Size, *BUILTIN_TYPES})
"""Types of values in a group that a state dict hands on as they are, as torch's does."""


def save(optimizer: Any, shared: bool = False) -> dict[str, Any]:
    """Return an optimizer's state and groups, with all hooks around it.

    Args:
        optimizer: an optkit optimizer.
        shared: whether the tensors are the live ones even where `reuses_memory` says that
            they won't stay together.
    """
    for hook in hooks_of(optimizer, "state_dict_pre_hook"):
        hook(optimizer)
    # The collector would visit the growing number of dicts again and again.
    with garbage_collector.uncollected():
        saved = collect(optimizer, shared or not _reuses_memory(optimizer))
    for hook in hooks_of(optimizer, "state_dict_post_hook"):
        replaced = hook(optimizer, saved)
        saved = saved if replaced is None else replaced
    hook_calls.fire("optkit_state_saved", optimizer=optimizer, state_dict=saved)
    return saved


def collect(optimizer: Any, shared: bool = True) -> dict[str, Any]:
    """Return an optimizer's state and groups in torch's shape.

    Args:
        optimizer: an optkit optimizer.
        shared: whether parameters' states are the live ones, or copies.

    Returns:
        ``{"state": {index: ...}, "param_groups": [...]}``; parameters are counted through all
        groups. Each group carries the schema's identity and who wrote it.
    """
    groups = optimizer.param_groups
    # Distributed checkpoints save and fill what a state dict has, on each process alike.
    if are_any_distributed(groups):
        optimizer.init_state()
    optimizer.publish_state()
    numbers: dict[int, int] = {}
    for number, p in enumerate(chain.from_iterable(group["params"] for group in groups)):
        # A parameter that stands twice has its first number, as torch gives it.
        numbers.setdefault(id(p), number)
    return {
        "state": _states(optimizer.state, numbers, shared),
        "param_groups": _groups(optimizer, numbers),
    }


def _reuses_memory(optimizer: Any) -> bool:
    return any(optimizer.algorithm_of(group).reuses_memory for group in optimizer.param_groups)


def _states(state: Any, numbers: dict[int, int], shared: bool) -> dict[Any, Any]:
    """Return the states of parameters by their numbers, and what else there is by its key."""
    # Keys that are no parameters are user code's, and stay as they are.
    if shared:
        return {numbers.get(id(key), key): own for key, own in state.items()}
    return {
        numbers.get(id(key), key): deep_copy(own) if id(key) in numbers else own
        for key, own in state.items()
    }


def _marks(algorithm: Any) -> dict[str, str]:
    """Return what the groups of an algorithm carry: its schema, and who wrote them."""
    return {TAG: schema_of(algorithm).identity, WRITER: writer_of(algorithm)}


def _groups(optimizer: Any, numbers: dict[int, int]) -> list[dict[str, Any]]:
    """Return the groups with the numbers of their parameters, and savable values."""
    algorithms = list(map(optimizer.algorithm_of, optimizer.param_groups))
    marks = {algorithm: _marks(algorithm) for algorithm in set(algorithms)}
    groups = []
    for algorithm, group in zip(algorithms, optimizer.param_groups, strict=True):
        own = {**group, **marks[algorithm]}
        for name, value in group.items():
            if type(value) not in AS_THEY_ARE:
                own[name] = plain(value)
        ranges = savable(algorithm).items()
        own |= {name: range.saved(group[name]) for name, range in ranges if name in group}
        own["params"] = [numbers[id(p)] for p in own.pop("params")]
        groups.append(own)
    if optimizer.is_joint and groups:
        groups[0][STATES] = sum(id(key) in numbers for key in optimizer.state)
    return groups
