"""Parameter groups: what may stand in one, checked before anything is taken in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optkit_core import config, declaration
from optkit_core.errors import GroupError, ParametersError

if TYPE_CHECKING:
    from optkit_core.optimizer import Optimizer

ANNOTATIONS = frozenset(
    {
        "params",
        "param_names",
        "name",
        "lr_scale",
        "initial_lr",
        "min_lr",
        "max_lr",
        "swa_lr",
        "base_momentum",
        "max_momentum",
    }
)
"""Keys that a group may have beside the declared ones: names, and what schedulers write."""


def bind(owner: type[Optimizer], arguments: Any, keywords: Any) -> tuple[Any, dict[str, Any]]:
    """Match a constructor call with the declarations and check every value.

    Returns:
        The parameters, and the value of every hyperparameter and option.

    Raises:
        ParametersError: an argument is missing, given twice, or one too many.
        HyperparameterError: a name isn't declared, or a value is out of range.
    """
    name, positional = owner.__name__, ("params", *owner.positional)
    declaration.refuse_unknown(name, keywords, ("params", *owner.declarations))
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
    check_values(owner, values)
    return params, values


def check(owner: type[Optimizer], group: Any, defaults: Mapping[str, Any]) -> None:
    """Check a group's keys, and its values together with the defaults.

    Raises:
        ParametersError: the group isn't a dict.
        GroupError: it has no ``"params"``.
        HyperparameterError: a key isn't declared, or its value is out of range.
    """
    if not isinstance(group, dict):
        raise ParametersError(f"param_group must be a dict, but got {type(group)}: {group!r}.")
    if "params" not in group:
        raise GroupError(f"a parameter group needs 'params'; this one has {sorted(group)}.")
    for key, other in config.SPELLINGS.items():
        if group.get(key) is not None and other in owner.declarations:
            group.setdefault(other, None)
    own = {key: value for key, value in group.items() if key not in ANNOTATIONS}
    declaration.refuse_unknown(
        f"a parameter group of {owner.__name__}", own, tuple(owner.declarations)
    )
    if own:
        check_values(owner, {**defaults, **own})


def check_values(owner: type[Optimizer], values: Mapping[str, Any]) -> None:
    """Check a value for every declared name, and that the implementation flags agree."""
    declared = owner.declarations
    owner.Hyperparameters(**{k: values[k] for k, v in declared.items() if not v.is_option})
    owner.Options(**{k: values[k] for k, v in declared.items() if v.is_option})
    config.requested(values)


def checked_params(params: Any) -> Any:
    """Return `params` if it can be iterated over as parameters or groups.

    Raises:
        ParametersError: it can't; says what was probably meant.
    """
    wanted = "params argument given to the optimizer should be an iterable of Tensors or dicts"
    if isinstance(params, Tensor):
        raise ParametersError(f"{wanted}, but got {torch.typename(params)}; put it in a list.")
    if isinstance(params, torch.nn.Module):
        name = type(params).__name__
        raise ParametersError(f"{wanted}, but got the module {name}; pass its .named_parameters().")
    if isinstance(params, (dict, str)) or not isinstance(params, Iterable):
        hint = "; put the group in a list" if isinstance(params, dict) else ""
        raise ParametersError(f"{wanted}, but got {type(params).__name__}: {params!r:.80}{hint}.")
    return params


@contextmanager
def restored_on_error(optimizer: Optimizer, group: Any) -> Iterator[None]:
    """Leave the optimizer and the group as they were if the block raises."""
    count = len(optimizer.param_groups)
    before = dict(group) if isinstance(group, dict) else None
    try:
        yield
    except BaseException:
        for added in optimizer.param_groups[count:]:
            for p in added["params"]:
                optimizer.state.pop(p, None)
        del optimizer.param_groups[count:]
        if before is not None:
            group.clear()
            group.update(before)
        raise
