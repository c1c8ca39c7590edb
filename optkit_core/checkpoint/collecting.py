"""Collecting: the way from an optimizer to a dict that torch.optim understands too."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import garbage, hooks
from optkit_core.checkpoint.schema import TAG, WRITER, schema_of, writer_of
from optkit_core.errors import CheckpointError
from optkit_core.ranges import Savable
from optkit_core.torch_hooks import hooks_of

PLAIN = (bool, int, float, complex, str, type(None))


def save(optimizer: Any, shared: bool = False) -> dict[str, Any]:
    """Return an optimizer's state and groups, with all hooks around it.

    Args:
        optimizer: an optkit optimizer.
        shared: whether the tensors are the live ones; by default they are copies.
    """
    for hook in hooks_of(optimizer, "state_dict_pre_hook"):
        hook(optimizer)
    with garbage.uncollected():
        saved = collect(optimizer)
        saved = saved if shared else copied(saved, "state_dict()")
    for hook in hooks_of(optimizer, "state_dict_post_hook"):
        replaced = hook(optimizer, saved)
        saved = saved if replaced is None else replaced
    hooks.fire("optkit_state_saved", optimizer=optimizer, state_dict=saved)
    return saved


def collect(optimizer: Any) -> dict[str, Any]:
    """Return an optimizer's state and groups in torch's shape, sharing the live tensors.

    Args:
        optimizer: an optkit optimizer.

    Returns:
        ``{"state": {index: ...}, "param_groups": [...]}``; parameters are counted through all
        groups. Each group carries the schema's identity and who wrote it.
    """
    positions: dict[Tensor, int] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            positions.setdefault(p, len(positions))
    marks = {TAG: schema_of(type(optimizer)).identity, WRITER: writer_of(type(optimizer))}
    groups = [
        {**_options(optimizer, group), **marks, "params": [positions[p] for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    state = {positions.get(key, key): optimizer.saved_state(key) for key in list(optimizer.state)}
    return {"state": state, "param_groups": groups}


def _options(optimizer: Any, group: dict[str, Any]) -> dict[str, Any]:
    """Return a group with what stands for those values that can't be saved."""
    options = dict(group)
    for name, declared in optimizer.declarations.items():
        if name in options and isinstance(declared.range, Savable):
            options[name] = declared.range.saved(options[name])
    return options


def copied(value: Any, where: str) -> Any:
    """Return a copy that shares nothing with `value` and holds nothing but plain things.

    Args:
        value: tensors, numbers, strings, booleans, None, and lists, tuples and dicts of them.
        where: the place that `value` stands in, for the error.

    Raises:
        CheckpointError: there is something else in it.
    """
    if isinstance(value, Tensor):
        return _cloned(value)
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return {
            # A place takes as long to be named as half a tensor to be copied.
            key: _cloned(item) if type(item) is Tensor else copied(item, f"{where}[{key!r}]")
            for key, item in value.items()
        }
    if type(value) in (list, tuple):
        return type(value)(copied(item, where) for item in value)
    if getattr(value, "shape", None) == () and type(value.item()) in PLAIN:
        return value.item()  # a number of numpy's
    raise CheckpointError(
        f"{where} is {value!r:.60}, of type {type(value).__name__}, which can't be saved: state is "
        "tensors, numbers, strings, booleans, None, lists and dicts. Keep it elsewhere, or remove "
        "it in a state_dict pre-hook."
    )


def _cloned(tensor: Tensor) -> Tensor:
    return (tensor.detach() if tensor.requires_grad else tensor).clone()
