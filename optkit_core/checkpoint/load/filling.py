"""Filling: verified values are copied into the optimizer's own buffers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from itertools import compress, repeat
from operator import is_not
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.checkpoint.load import forms
from optkit_core.checkpoint.load.value_copies import copied
from optkit_core.checkpoint.load.verification import Verified
from optkit_core.declaration.buffer_kinds import JOINT, PER_ELEMENT, SCALAR, SHAPED
from optkit_core.declaration.buffers import Buffer, joint_dtype
from optkit_core.step.bucket_key import PLAIN_TYPES

BLOCK = 256
"""How many tensors are copied at once; what describes them stays in the processor's cache."""


@attrs.define(eq=False)
class Copies:
    """What is to be copied where, once everything has its place.

    Args:
        targets: the optimizer's own tensors, those that it has and new ones.
        sources: the saved tensors.
        is_owned: whether a saved tensor may itself become the optimizer's.
    """

    targets: list[Tensor] = attrs.Factory(list)
    sources: list[Tensor] = attrs.Factory(list)
    is_owned: bool = False

    @cached_property
    def are_native(self) -> bool:
        """Whether none of the tensors is of another type, distributed for example."""
        return {*map(type, self.targets), *map(type, self.sources)} <= set(PLAIN_TYPES)


@attrs.frozen(eq=False)
class Column:
    """One buffer of many parameters.

    Args:
        buffer: its declaration.
        values: what was saved for it.
        lives: what the optimizer has, None where there is nothing.
        parameters: the parameters.
        groups: the group of each of them.
        forms: the numbers of their forms.
        dtype: of a joint vector.
    """

    buffer: Buffer
    values: Sequence[Any]
    lives: Sequence[Any]
    parameters: Sequence[Tensor]
    groups: Sequence[Any]
    forms: Sequence[int]
    dtype: torch.dtype | None

    def usable(self, tensors: Sequence[Any]) -> list[bool]:
        """Return which tensors are as this buffer would be allocated now."""
        judge = partial(_is_usable, self.buffer)
        rows = tensors, self.parameters, self.groups
        form = forms.unlike if self.buffer.kind == SHAPED else forms.of_buffers
        return forms.judged(judge, form, self.forms, *rows)


def fill(
    optimizer: Any,
    verified: Verified,
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
    copies = Copies(is_owned=is_owned)
    states = _prepared(optimizer, verified, wanted, copies)
    for live, new in zip(optimizer.param_groups, groups, strict=True):
        live.update(new)
    _copy(copies)
    if replace:
        optimizer.state.clear()
    optimizer.state.update(zip(verified.parameters, states, strict=True))
    for group in optimizer.param_groups:
        if group.get("eager_state"):
            optimizer.init_group_state(group)


def _prepared(
    optimizer: Any, verified: Verified, groups: Sequence[Any], copies: Copies
) -> list[dict[str, Any]]:
    """Find or allocate a place for every value; nothing that is in use changes yet.

    Returns:
        The whole new state of each parameter.
    """
    states: list[dict[str, Any]] = [{} for _ in verified.states]
    lives = [optimizer.state.get(parameter, {}) for parameter in verified.parameters]
    dtypes = {p.dtype for group in groups for p in group["params"]} if optimizer.is_joint else ()
    vectors = joint_dtype(dtypes)
    for name, buffer in type(optimizer).state_buffers.items():
        has = [name in state for state in verified.states]
        rows = verified.only(has)
        column = Column(
            buffer,
            [state[name] for state in rows.states],
            [live.get(name) for live in compress(lives, has)],
            rows.parameters,
            [groups[position] for position in rows.groups],
            rows.forms,
            vectors if buffer.kind == JOINT else None,
        )
        place = _placed if buffer.is_tensor else _moved
        for state, value in zip(compress(states, has), place(column, copies), strict=True):
            state[name] = value
    _unalias(copies)
    return states


def _placed(column: Column, copies: Copies) -> list[Tensor]:
    """Return for each value itself, the live tensor or a new one, and note what to copy."""
    values, buffer = column.values, column.buffer
    if buffer.kind == SCALAR:
        values = list(map(partial(_as_tensor, buffer), values, column.parameters, column.groups))
    taken = _replacing(column) if copies.is_owned else repeat(False, len(values))
    usable = column.usable(column.lives)
    rows = zip(values, taken, column.lives, usable, column.parameters, column.groups, strict=True)
    placed = [
        value if is_taken else live if is_usable else buffer.empty(parameter, group)
        for value, is_taken, live, is_usable, parameter, group in rows
    ]
    is_copied = list(map(is_not, placed, values))
    copies.targets += compress(placed, is_copied)
    copies.sources += compress(values, is_copied)
    return placed


def _replacing(column: Column) -> list[bool]:
    """Return which saved tensors can be used themselves, no live one being shared by processes."""
    is_shared: Any = Tensor.is_shared
    shared = [isinstance(live, Tensor) and is_shared(live) for live in column.lives]
    return [ok and not bad for ok, bad in zip(column.usable(column.values), shared, strict=True)]


def _as_tensor(buffer: Buffer, value: Any, parameter: Tensor, group: Any) -> Tensor:
    return value if isinstance(value, Tensor) else buffer.empty(parameter, group).fill_(value)


def _is_usable(buffer: Buffer, live: Any, parameter: Tensor, group: Any) -> bool:
    """Whether a buffer that is there is as it would be allocated now."""
    if type(live) is not Tensor or live.dtype != buffer.dtype_for(parameter):
        return False
    if live.requires_grad or live.is_inference() or live.layout != torch.strided:
        return False
    if live.device != buffer.device_for(parameter, group):
        return False
    if live.shape != buffer.shape_for(parameter):
        return False
    if buffer.kind != PER_ELEMENT:
        return live.is_contiguous()
    strides = live.stride()
    return strides == parameter.stride() or strides == _dense(parameter).stride()


def _dense(parameter: Tensor) -> Tensor:
    """Return a tensor without values that is laid out as a buffer of `parameter` is."""
    return torch.empty_like(parameter, device="meta")


def _moved(column: Column, _: Copies) -> list[Any]:
    """Return copies of what isn't tied to one parameter, on its device all the same."""
    rows = zip(column.values, column.parameters, strict=True)
    return [_copied_to(parameter.device, column.dtype, value) for value, parameter in rows]


def _copied_to(device: torch.device, dtype: torch.dtype | None, value: Any) -> Any:
    if isinstance(value, Tensor):
        return copied(value.to(device, dtype))
    if isinstance(value, (list, tuple)):
        return [_copied_to(device, dtype, item) for item in value]
    if isinstance(value, dict):
        return {key: _copied_to(device, dtype, item) for key, item in value.items()}
    return copied(value)


def _unalias(copies: Copies) -> None:
    """Copy sources that share memory with a target first: another target may change them."""
    if not copies.are_native:
        return
    own = set(map(Tensor.data_ptr, copies.targets))
    if own.isdisjoint(map(Tensor.data_ptr, copies.sources)):
        return
    copies.sources = [
        source.clone() if source.data_ptr() in own else source for source in copies.sources
    ]


def _copy(copies: Copies) -> None:
    """Copy block by block; tensors of other types, distributed ones for example, one by one."""
    if not copies.are_native:
        for target, source in zip(copies.targets, copies.sources, strict=True):
            target.copy_(source)
        return
    for begin in range(0, len(copies.targets), BLOCK):
        block = slice(begin, begin + BLOCK)
        torch._foreach_copy_(copies.targets[block], copies.sources[block])
