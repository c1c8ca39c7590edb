"""Filling: verified values are copied into the optimizer's own buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.buckets import NATIVE
from optkit_core.buffers import JOINT, PER_ELEMENT, SCALAR, Buffer
from optkit_core.checkpoint import joint
from optkit_core.checkpoint.collecting import copied
from optkit_core.checkpoint.verification import Verified


@attrs.define(eq=False)
class Copies:
    """What is to be copied where, once everything has its place.

    Args:
        targets: the optimizer's own tensors, those that it has and new ones.
        sources: the saved tensors.
        states: the whole new state of each parameter, made of `targets`.
        is_owned: whether a saved tensor may itself become the optimizer's.
    """

    is_owned: bool = False
    targets: list[Tensor] = attrs.Factory(list)
    sources: list[Tensor] = attrs.Factory(list)
    states: list[tuple[Tensor, dict[str, Any]]] = attrs.Factory(list)


def fill(
    optimizer: Any,
    verified: Sequence[Verified],
    groups: Sequence[dict[str, Any]],
    replace: bool,
    is_owned: bool = False,
) -> None:
    """Put verified values in place.

    Args:
        optimizer: what takes them.
        verified: the states.
        groups: for each group the values to put in place.
        replace: whether parameters without a saved state lose theirs.
        is_owned: whether a saved tensor that fits as it is may itself become the optimizer's.
    """
    wanted = [{**live, **new} for live, new in zip(optimizer.param_groups, groups, strict=True)]
    for group in wanted:
        optimizer.check_request(group)
    copies = _prepared(optimizer, verified, wanted, Copies(is_owned))
    for live, new in zip(optimizer.param_groups, groups, strict=True):
        live.update(new)
    _copy(copies)
    if replace:
        optimizer.state.clear()
    for parameter, state in copies.states:
        optimizer.state[parameter] = state
    for group in optimizer.param_groups:
        if group.get("eager_state"):
            optimizer.init_group_state(group)


def _prepared(optimizer: Any, verified: Sequence[Verified], groups: Any, copies: Copies) -> Copies:
    """Find or allocate a place for every value; nothing that is in use changes yet."""
    buffers = list(type(optimizer).state_buffers.items())
    for item in verified:
        live = optimizer.state.get(item.parameter, {})
        group = groups[item.group]
        state = {}
        for name, buffer in buffers:
            if name in item.state:
                state[name] = _placed(buffer, item, name, live.get(name), group, copies)
        copies.states.append((item.parameter, state))
    _unalias(copies)
    return copies


def _placed(
    buffer: Buffer, item: Verified, name: str, live: Any, group: Any, copies: Copies
) -> Any:
    value, parameter = item.state[name], item.parameter
    if buffer.kind not in (PER_ELEMENT, SCALAR):
        params = group["params"]
        return _moved(
            value, parameter, joint.vector_dtype(params) if buffer.kind == JOINT else None
        )
    if buffer.kind == SCALAR and not isinstance(value, Tensor):
        return buffer.scalar(value, parameter, group)
    if copies.is_owned and _can_replace(buffer, value, live, parameter, group):
        return value
    target = live if _is_usable(buffer, live, parameter, group) else None
    if target is None:
        target = _new(buffer, parameter, group)
    copies.targets.append(target)
    copies.sources.append(value)
    return target


def _can_replace(buffer: Buffer, value: Any, live: Any, parameter: Tensor, group: Any) -> bool:
    """Whether a saved tensor can be used as it is, and the live one isn't shared by processes."""
    is_shared = isinstance(live, Tensor) and live.is_shared()  # type: ignore[no-untyped-call]
    return not is_shared and _is_usable(buffer, value, parameter, group)


def _is_usable(buffer: Buffer, live: Any, parameter: Tensor, group: Any) -> bool:
    """Whether a buffer that is there is as it would be allocated now."""
    if type(live) is not Tensor or live.dtype != buffer.dtype_for(parameter):
        return False
    if live.requires_grad or live.is_inference():
        return False
    if live.device != buffer.device_for(parameter, group):
        return False
    if buffer.kind == SCALAR:
        return live.dim() == 0
    if live.shape != parameter.shape:
        return False
    strides = live.stride()
    return strides == parameter.stride() or strides == _dense(parameter).stride()


def _dense(parameter: Tensor) -> Tensor:
    """Return a tensor without values that is laid out as a buffer of `parameter` is."""
    return torch.empty_like(parameter, device="meta")


def _new(buffer: Buffer, parameter: Tensor, group: Any) -> Tensor:
    dtype = buffer.dtype_for(parameter)
    if buffer.kind == SCALAR:
        return torch.empty((), dtype=dtype, device=buffer.device_for(parameter, group))
    return torch.empty_like(parameter, dtype=dtype).detach()


def _moved(value: Any, parameter: Tensor, dtype: torch.dtype | None) -> Any:
    """Return a copy of what isn't tied to one parameter, on the parameter's device."""
    if isinstance(value, Tensor):
        return copied(value.to(parameter.device, dtype), "state")
    if isinstance(value, (list, tuple)):
        return [_moved(item, parameter, dtype) for item in value]
    if isinstance(value, dict):
        return {key: _moved(item, parameter, dtype) for key, item in value.items()}
    return copied(value, "state")


def _unalias(copies: Copies) -> None:
    """Copy sources that share memory with a target first: another target may change them."""
    if not _are_native(copies):
        return
    own = set(map(Tensor.data_ptr, copies.targets))
    for position, address in enumerate(map(Tensor.data_ptr, copies.sources)):
        if address in own and copies.sources[position] is not copies.targets[position]:
            copies.sources[position] = copies.sources[position].clone()


def _copy(copies: Copies) -> None:
    """Copy all at once; tensors of other types, distributed ones for example, one by one."""
    if _are_native(copies):
        if copies.targets:
            torch._foreach_copy_(copies.targets, copies.sources)
        return
    for target, source in zip(copies.targets, copies.sources, strict=True):
        target.copy_(source)


def _are_native(copies: Copies) -> bool:
    return {*map(type, copies.targets), *map(type, copies.sources)} <= set(NATIVE)
