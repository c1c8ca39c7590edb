"""Joint vectors, kept with the first parameter, in the order of the optimizer's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from torch import Tensor

from optkit_core.checkpoint.load.load_report import Mismatches
from optkit_core.checkpoint.load.matching import MatchedGroup
from optkit_core.checkpoint.load.parsing import ParsedState
from optkit_core.checkpoint.schema import Schema
from optkit_core.declaration.buffer_kinds import joint_kind


def reorder(
    schema: Schema,
    saved: ParsedState,
    matched: Sequence[MatchedGroup],
    mismatches: Mismatches,
) -> tuple[ParsedState, list[MatchedGroup]]:
    """Bring joint state into the order of the optimizer's parameters, under the first of them.

    Args:
        schema: one with joint buffers.
        saved: the saved state.
        matched: which parameter is which.
        mismatches: takes in vectors of another length, and groups that can't be put in order.

    Returns:
        The saved state and the matched groups, to be used in place of those given.
    """
    ids = [key for group in saved.groups for key in group.ids]
    requested = [key for group in matched for key in group.ids]
    params = [p for group in matched for p in group.params]
    order, state = _order(ids, requested), dict(saved.state)
    holder = ids[0] if order else None
    if order is not None and holder in state:
        state[holder] = _reordered(schema, state[holder], params, order, mismatches)
    elif order is None and params and saved.state:
        first = next(label for group in matched for label in group.labels)
        mismatches.missing.append(f"state of all parameters together, first {first}")
    keys = iter([holder, *[None] * len(params)])
    regrouped = [attrs.evolve(g, ids=[next(keys) for _ in g.ids]) for g in matched]
    return attrs.evolve(saved, state=state), regrouped


def _order(ids: Sequence[Any], requested: Sequence[Any]) -> list[int] | None:
    """Return at which position each parameter was saved, None if they weren't saved together."""
    positions = {key: position for position, key in enumerate(ids)}
    # A parameter that wasn't saved is -1, which makes this no permutation.
    order = [positions.get(key, -1) for key in requested]
    return order if sorted(order) == list(range(len(positions))) else None


def _reordered(
    schema: Schema,
    state: Any,
    params: Sequence[Tensor],
    order: Sequence[int],
    mismatches: Mismatches,
) -> dict[str, Any]:
    sizes = [p.numel() * (2 if p.is_complex() else 1) for p in params]
    saved_sizes = [0] * len(sizes)
    for position, size in zip(order, sizes, strict=True):
        saved_sizes[position] = size
    result = dict(state)
    for name, buffer in schema.buffers.items():
        if buffer.rules.is_joint and result.get(name) is not None:
            complaint = joint_kind.vector_complaint(result[name], sum(sizes))
            if complaint:
                mismatches.shape_mismatched.append(f"{name} {complaint}")
            elif order != sorted(order):
                result[name] = joint_kind.reordered(result[name], order, saved_sizes)
    return result
