"""Verified values are converted and copied into the optimizer's buffers, which keep their dtypes.

Conversion from the saved dtype and device to a buffer's own happens while it is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import compress, repeat
from operator import is_not
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.checkpoint.load import deduplicated_checks
from optkit_core.checkpoint.load.deep_copy import deep_copy
from optkit_core.checkpoint.load.verification import VerifiedStates
from optkit_core.declaration.buffer_kinds import TensorKind
from optkit_core.declaration.buffer_kinds.joint_kind import joint_dtype
from optkit_core.declaration.buffers import Buffer
from optkit_core.declaration.tensor_types import PLAIN_TYPES

BLOCK = 256
"""How many tensors are copied at once; what describes them stays in the processor's cache."""


@attrs.define(eq=False)
class PendingCopies:
    """What is to be copied where, once every value has its tensor.

    Args:
        targets: the optimizer's own tensors, those that it has and new ones.
        sources: the saved tensors.
        is_owned: whether a saved tensor may itself become the optimizer's.
    """

    targets: list[Tensor] = attrs.Factory(list)
    sources: list[Tensor] = attrs.Factory(list)
    is_owned: bool = False

    @cached_property
    def are_plain(self) -> bool:
        """Whether none of the tensors is of another type, distributed for example."""
        return {*map(type, self.targets), *map(type, self.sources)} <= PLAIN_TYPES

    def unalias(self) -> None:
        """Copy sources that share memory with a target first: another target may change them."""
        if not self.are_plain:
            return
        # With exchanged parameters the second copy would read what the first has overwritten.
        own = set(map(Tensor.data_ptr, self.targets))
        if own.isdisjoint(map(Tensor.data_ptr, self.sources)):
            return
        self.sources = [
            source.clone() if source.data_ptr() in own else source for source in self.sources
        ]

    def carry_out(self) -> None:
        """Copy block by block; tensors of other types, distributed ones for example, one by one."""
        if not self.are_plain:
            # A mixed list of DTensors and tensors is refused by the multi-tensor operation.
            for target, source in zip(self.targets, self.sources, strict=True):
                target.copy_(source)
            return
        for begin in range(0, len(self.targets), BLOCK):
            block = slice(begin, begin + BLOCK)
            torch._foreach_copy_(self.targets[block], self.sources[block])


@attrs.frozen(eq=False)
class Column:
    """One buffer of many parameters.

    Args:
        buffer: its declaration.
        values: what was saved for it.
        lives: what the optimizer has, None where there is nothing.
        parameters: the parameters.
        groups: the group of each of them.
        keys: the parameters' keys for deduplicated checks.
    """

    buffer: Buffer
    values: Sequence[Any]
    lives: Sequence[Any]
    parameters: Sequence[Tensor]
    groups: Sequence[Mapping[str, Any]]
    keys: Sequence[int]


def fill(
    optimizer: Any,
    verified: Sequence[VerifiedStates],
    groups: Sequence[dict[str, Any]],
    replace: bool,
    is_owned: bool = False,
) -> None:
    """Put verified values in the optimizer.

    Args:
        optimizer: what takes them.
        verified: the states of each algorithm.
        groups: for each group the values to put into it.
        replace: whether parameters without a saved state lose theirs.
        is_owned: whether a saved tensor that fits as it is may itself become the optimizer's.
    """
    new_groups = [{**live, **new} for live, new in zip(optimizer.param_groups, groups, strict=True)]
    for group in new_groups:
        optimizer.check_request(group)
    copies = PendingCopies(is_owned=is_owned)
    states = [_prepared(optimizer, rows, new_groups, copies) for rows in verified]
    copies.unalias()
    # From here on nothing can fail any more.
    for live, new in zip(optimizer.param_groups, groups, strict=True):
        live.update(new)
    copies.carry_out()
    if replace:
        optimizer.state.clear()
    for rows, own in zip(verified, states, strict=True):
        optimizer.state.update(zip(rows.parameters, own, strict=True))
    for group in optimizer.param_groups:
        if group.get("eager_state"):
            optimizer.init_group_state(group)


def _prepared(
    optimizer: Any, verified: VerifiedStates, groups: Sequence[Any], copies: PendingCopies
) -> list[dict[str, Any]]:
    """Find or allocate a tensor for every value; nothing that is in use changes yet.

    Returns:
        The whole new state of each parameter.
    """
    states: list[dict[str, Any]] = [{} for _ in verified.states]
    lives = [optimizer.state.get(parameter, {}) for parameter in verified.parameters]
    dtypes = {p.dtype for group in groups for p in group["params"]} if optimizer.is_joint else ()
    for name, buffer in verified.algorithm.state_buffers.items():
        is_saved = [name in state for state in verified.states]
        rows = verified.only(is_saved)
        column = Column(
            buffer,
            [state[name] for state in rows.states],
            [live.get(name) for live in compress(lives, is_saved)],
            rows.parameters,
            [groups[position] for position in rows.groups],
            rows.keys,
        )
        if isinstance(buffer.rules, TensorKind):
            values: Sequence[Any] = _tensors(column, buffer.rules, copies)
        else:
            dtype = joint_dtype(dtypes) if buffer.rules.is_joint else None
            values = _moved(column, dtype)
        for state, value in zip(compress(states, is_saved), values, strict=True):
            state[name] = value
    return states


def _tensors(column: Column, kind: TensorKind, copies: PendingCopies) -> list[Tensor]:
    """Return for each value itself, the live tensor or a new one, and note what to copy."""
    values = kind.as_tensors(column.values, column.parameters, column.groups)
    is_own = _replacing(column, kind) if copies.is_owned else repeat(False, len(values))
    is_usable = _as_allocated(column, kind, column.lives)
    columns = (values, is_own, column.lives, is_usable, column.parameters, column.groups)
    tensors = [
        value if own else live if usable else kind.empty(parameter, group)
        for value, own, live, usable, parameter, group in zip(*columns, strict=True)
    ]
    is_copied = list(map(is_not, tensors, values))
    copies.targets += compress(tensors, is_copied)
    copies.sources += compress(values, is_copied)
    return tensors


def _as_allocated(column: Column, kind: TensorKind, tensors: Sequence[Any]) -> list[bool]:
    """Return which tensors are as this buffer would be allocated now."""
    rows = tensors, column.parameters, column.groups
    return deduplicated_checks.checked(
        kind.is_as_allocated, kind.allocation_keys, column.keys, *rows
    )


def _replacing(column: Column, kind: TensorKind) -> list[bool]:
    """Return which saved tensors can be used themselves, no live one being shared by processes."""
    # What share_memory() has given to other processes must stay the tensor that they see.
    is_shared: Any = Tensor.is_shared
    shared = [isinstance(live, Tensor) and is_shared(live) for live in column.lives]
    usable = _as_allocated(column, kind, column.values)
    return [ok and not bad for ok, bad in zip(usable, shared, strict=True)]


def _moved(column: Column, dtype: torch.dtype | None) -> list[Any]:
    """Return copies of what isn't tied to one parameter, on its device all the same."""
    rows = zip(column.values, column.parameters, strict=True)
    return [_copied_to(parameter.device, dtype, value) for value, parameter in rows]


def _copied_to(device: torch.device, dtype: torch.dtype | None, value: Any) -> Any:
    if isinstance(value, Tensor):
        return deep_copy(value.to(device, dtype))
    if isinstance(value, (list, tuple)):
        return [_copied_to(device, dtype, item) for item in value]
    if isinstance(value, dict):
        return {key: _copied_to(device, dtype, item) for key, item in value.items()}
    return deep_copy(value)
