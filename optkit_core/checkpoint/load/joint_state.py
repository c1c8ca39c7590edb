"""Joint state: vectors over all elements of all parameters, kept with the first one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from optkit_core.checkpoint.load.load_report import Findings
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.load.saved_state import Saved
from optkit_core.checkpoint.schema import Schema
from optkit_core.declaration.buffer_kinds import JOINT


def gathered(
    schema: Schema, saved: Saved, matched: Sequence[MatchedGroup], found: Findings
) -> tuple[Saved, list[MatchedGroup]]:
    """Bring joint state into the order of the optimizer's parameters, under the first of them.

    Args:
        schema: one with joint buffers.
        saved: the saved state.
        matched: which parameter is which.
        found: takes in vectors of another length, and groups that can't be put in order.

    Returns:
        The saved state and the matched groups, to be used in place of those given.
    """
    ids = [key for group in saved.groups for key in group.ids]
    wanted = [key for group in matched for key in group.ids]
    params = [p for group in matched for p in group.params]
    labels = [label for group in matched for label in group.labels]
    order, state = _order(ids, wanted), dict(saved.state)
    holder = ids[0] if order else None
    if holder in state:
        state[holder] = _reordered(schema, state[holder], params, order, found)
    elif order is None and params and saved.state:
        found.missing.append(f"state of all parameters together, first {labels[0]}")
    keys = iter([holder, *[None] * len(params)])
    regrouped = [attrs.evolve(g, ids=[next(keys) for _ in g.ids]) for g in matched]
    return attrs.evolve(saved, state=state), regrouped


def _order(ids: Sequence[Any], wanted: Sequence[Any]) -> list[int] | None:
    """Return at which place each parameter was saved, or None if they weren't saved together."""
    places = {key: place for place, key in enumerate(ids)}
    order = [places.get(key, -1) for key in wanted]
    return order if sorted(order) == list(range(len(places))) else None


def _reordered(
    schema: Schema, state: Any, params: Sequence[Tensor], order: Any, found: Findings
) -> dict[str, Any]:
    sizes = [p.numel() * (2 if p.is_complex() else 1) for p in params]
    saved_sizes = [0] * len(sizes)
    for place, size in zip(order, sizes, strict=True):
        saved_sizes[place] = size
    result = dict(state)
    for name, buffer in schema.buffers.items():
        if buffer.kind == JOINT and result.get(name) is not None:
            complaint = _complaint(result[name], sum(sizes))
            if complaint:
                found.shape_mismatched.append(f"{name} {complaint}")
            elif order != sorted(order):
                result[name] = _permuted(result[name], order, saved_sizes)
    return result


def _complaint(value: Any, length: int) -> str:
    for vector in value if isinstance(value, list) else [value]:
        is_real = isinstance(vector, Tensor) and vector.is_floating_point()
        if not is_real or vector.layout != torch.strided or vector.device.type == "meta":
            return f"must be a vector of {length} real numbers, got {vector!r:.40}"
        if vector.shape != (length,):
            return f"has shape {list(vector.shape)}, not [{length}]"
    return ""


def _permuted(value: Any, order: Sequence[int], sizes: Sequence[int]) -> Any:
    if isinstance(value, list):
        return [_permuted(item, order, sizes) for item in value]
    blocks = value.split(list(sizes))
    return torch.cat([blocks[place] for place in order])
