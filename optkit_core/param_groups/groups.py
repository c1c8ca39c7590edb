"""Parameter groups: what may stand in one, checked before anything is taken in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from optkit_core.composition import group_algorithms
from optkit_core.declaration import estimates, fields
from optkit_core.declaration.base import Declared
from optkit_core.declaration.roles import REQUESTS
from optkit_core.declaration.tensor_types import PLAIN_TYPES
from optkit_core.errors import GroupError, ParametersError
from optkit_core.native.memory_layout import is_expanded, overlapping
from optkit_core.param_groups import group_keys, parameters
from optkit_core.selection import requests

WITH_MEMORY = frozenset({"cpu", "cuda"})
"""Types of devices whose tensors' addresses can be compared."""


def bind(owner: type[Declared], arguments: Any, keywords: Any) -> tuple[Any, dict[str, Any]]:
    """Match a constructor call with the declarations and check every value.

    Returns:
        The parameters, and the value of every hyperparameter and option.

    Raises:
        ParametersError: an argument is missing, given twice, or one too many.
        HyperparameterError: a name isn't declared, or a value is out of range.
    """
    name, positional = owner.__name__, ("params", *owner.positional)
    taken = (key for key, item in owner.declarations.items() if item.is_argument)
    fields.require_known_names(name, keywords, ("params", *taken))
    if len(arguments) > len(positional):
        raise ParametersError(
            f"{name} takes at most {len(positional)} positional arguments "
            f"({', '.join(positional)}), got {len(arguments)}; name the others."
        )
    placed = dict(zip(positional, arguments, strict=False))
    for twice in placed.keys() & keywords.keys():
        raise ParametersError(f"{name} got {twice} twice, by position and by name.")
    values = {**owner.default_values, **placed, **keywords}
    if "params" not in values:
        raise ParametersError(f"{name} needs params, what it is to optimize, as first argument.")
    params = values.pop("params")
    values |= estimates.starts(owner.declarations, values)
    check_group(owner, values)
    return params, values


def complete(owner: type[Declared], group: Any, defaults: Mapping[str, Any]) -> None:
    """Check a group, list its parameters, and set aside what its own options replace.

    Raises:
        ParametersError: the group isn't a dict, or something in it can't be optimized.
        GroupError: it has no ``"params"``.
        HyperparameterError: a value is out of range, or a key is almost a declared one.
    """
    require_group(group)
    group_algorithms.require_own(owner, group)
    group_keys.check(owner, group)
    own = {name: group[name] for name in owner.declarations if name in group}
    for key in requests.set_aside(own):
        if key in owner.declarations:
            own[key] = None
    if own:
        # With the constructor's: a flag of the group may contradict what that was given.
        values = {**defaults, **own}
        check_group(owner, values)
        group.update((name, values[name]) for name in own)
    group["params"] = parameters.entries(group["params"])


def require_group(group: Any) -> None:
    """Raise unless something is a dict with parameters.

    Raises:
        ParametersError: it isn't a dict.
        GroupError: it has no ``"params"``.
    """
    if not isinstance(group, dict):
        raise ParametersError(f"param_group must be a dict, but got {type(group)}: {group!r:.80}.")
    if "params" not in group:
        raise GroupError(f"a parameter group needs 'params'; this one has {sorted(group)}.")


def check_group(owner: type[Declared], group: dict[str, Any]) -> None:
    """Check the declared values in a group, and keep Python's own in place of others.

    Args:
        owner: the optimizer's class.
        group: a dict with declared names among its keys; those that it lacks don't count. It
            changes only where a value isn't yet what is kept of it.

    Raises:
        HyperparameterError: a value is out of range, or some don't go together; the group is
            as it was.
        ImplementationError: the flags for the implementation contradict each other.

    >>> import optkit
    >>> group = {"lr": 1, "betas": [0.5, 0.9]}
    >>> check_group(optkit.get("adamax"), group)
    >>> group
    {'lr': 1, 'betas': (0.5, 0.9)}
    """
    kept = {}
    for name, default, check in owner.checks:
        value = group.get(name, default)
        # Defaults were checked with the class. By identity: `==` of a tensor may wait for a device.
        if value is not default:
            kept[name] = check(value)
    fields.raise_for(owner.values_complaint({**owner.default_values, **group, **kept}))
    if not REQUESTS.isdisjoint(kept):
        requests.require_consistent({**group, **kept})
    group.update(kept)


@contextmanager
def restored_on_error(groups: Iterable[Any]) -> Iterator[None]:
    """Give the dicts among `groups` back as they were if the block raises."""
    before = [(group, dict(group)) for group in groups if isinstance(group, dict)]
    try:
        yield
    except BaseException:
        # In place, since the caller holds these very dicts.
        for group, content in before:
            group.clear()
            group.update(content)
        raise


@contextmanager
def undone_on_error(optimizer: torch.optim.Optimizer, group: Any) -> Iterator[None]:
    """Remove a group that is being added, and give it back as it was, if the block raises."""
    count = len(optimizer.param_groups)
    with restored_on_error([group]):
        try:
            yield
        except BaseException:
            _take_back(optimizer, count)
            raise


def _take_back(optimizer: torch.optim.Optimizer, count: int) -> None:
    """Remove the groups after the first `count`, with their state."""
    for added in optimizer.param_groups[count:]:
        for p in added["params"]:
            optimizer.state.pop(p, None)
    del optimizer.param_groups[count:]


def require_no_overlap(param_groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise where parameters share memory, which every step would update more than once.

    Args:
        param_groups: those of an optimizer.

    Raises:
        GroupError: naming the one or two, and the way out.

    >>> x = torch.zeros(4)
    >>> require_no_overlap([{"params": [x[:2], x[2:]]}])
    """
    params = [
        p
        for group in param_groups
        for p in group["params"]
        if type(p) in PLAIN_TYPES and p.layout == torch.strided and p.device.type in WITH_MEMORY
    ]
    expanded = next(filter(is_expanded, params), None)
    if expanded is not None:
        raise GroupError(
            f"{label(param_groups, expanded)} is expanded: its elements share memory, which a step "
            "would update more than once. Pass the tensor that it was expanded from, or a clone(). "
            "[more than one element of the written-to tensor refers to a single memory location]"
        )
    pair = overlapping(params)
    if pair:
        raise GroupError(
            f"{label(param_groups, pair[0])} and {label(param_groups, pair[1])} share memory, "
            "which a step would update twice. Pass one of them, or give each memory of its own by "
            "clone()."
        )


def label(param_groups: Sequence[Mapping[str, Any]], parameter: Tensor) -> str:
    """Return what a parameter of an optimizer is called in messages."""
    return next(
        _label(index, group, position)
        for index, group in enumerate(param_groups)
        for position, p in enumerate(group["params"])
        if p is parameter
    )


def _label(index: int, group: Mapping[str, Any], position: int) -> str:
    names = group.get("param_names")
    name = f" ({names[position]!r})" if names else ""
    return f"parameter {position} of group {index}{name}"
