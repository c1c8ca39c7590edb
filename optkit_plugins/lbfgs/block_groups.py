"""Parameter groups: what may differ between them, and what follows for the blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from optkit_core import GroupError, joint_dtype
from optkit_plugins.lbfgs.ranks.held_parts import HeldParts
from optkit_plugins.lbfgs.ranks.span import Span, span_of
from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.sharded_space import ShardedSpace
from optkit_plugins.lbfgs.vectors.space import Space
from optkit_plugins.lbfgs.vectors.storage import SingleBlock

COMMON = (
    *("max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size"),
    *("line_search_fn", "maximize", "initial_step", "history_dtype", "process_group"),
)
"""What all groups share, since they are minimized together."""

Storage: TypeAlias = Callable[[Mapping[str, Any], Tensor], Callable[..., Block]]
"""Returns the class of a parameter's block, given its group and it."""


def require_agreement(*groups: Mapping[str, Any]) -> None:
    """Raise if groups differ in more than the learning rate.

    Raises:
        GroupError: they do; a key that one of them lacks doesn't count.
    """
    for name in COMMON:
        values = [group[name] for group in groups if name in group]
        for value in values[1:]:
            if value != values[0]:
                raise GroupError(
                    "LBFGS minimizes over all parameter groups together, so only lr may differ "
                    f"between them; got {name}={values[0]!r:.60} and {name}={value!r:.60}."
                )


def scales(groups: Sequence[Mapping[str, Any]]) -> list[float]:
    r"""Return :math:`\sigma` of each group, the root of its learning rate beside the largest."""
    rates = [float(group["lr"]) for group in groups]
    most = max(rates)
    # One rate alone scales nothing, not even 0: it is the step length already.
    return [math.sqrt(rate / most) if most and len(rates) > 1 else 1.0 for rate in rates]


def space_of(groups: Sequence[Mapping[str, Any]], storage: Storage) -> Space:
    """Return the vectors of all parameters, or what this rank has of them.

    Args:
        groups: the parameter groups.
        storage: says how a parameter's vectors are stored.

    Raises:
        ParametersError: it can't be told which ranks hold the parameters together.
    """
    params = [p for group in groups for p in group["params"]]
    held = HeldParts.of(groups)
    span = span_of(params, groups[0].get("process_group"))
    parts, sigma = blocks(groups, storage, held, span), scales(groups)
    if span is None:
        return Space(parts, sigma, held)
    return ShardedSpace(parts, sigma, held, span=span)


def dtypes(groups: Sequence[Mapping[str, Any]]) -> tuple[torch.dtype, torch.dtype]:
    """Return the dtype of the vectors, and that of the pairs, whatever this rank has of them."""
    dtype = joint_dtype(p.dtype for group in groups for p in group["params"] if p.numel())
    given = groups[0]["history_dtype"] or dtype
    return dtype, getattr(torch, given) if isinstance(given, str) else given


def blocks(
    groups: Sequence[Mapping[str, Any]],
    storage: Storage,
    held: HeldParts | None,
    span: Span | None,
) -> list[Block]:
    """Return blocks for all parameters of which this rank has elements.

    What other ranks have copies of is in a block with nothing else, so that it is stepped alike
    on all of them.

    Args:
        groups: the parameter groups.
        storage: says how a parameter's vectors are stored.
        held: what this rank has of DTensors, if there are any.
        span: the ranks that hold them together; None for this one alone.
    """
    members: dict[Any, list[Tensor]] = {}
    for position, group in enumerate(groups):
        for p in group["params"]:
            part = p if held is None else held.part_of(p)
            if part.numel():
                kind = storage(group, part)
                alone = id(part) if kind is SingleBlock else None
                shared = (True, ()) if span is None else (span.owns(p), span.copies(p))
                members.setdefault((position, part.device, kind, alone, *shared), []).append(part)
    first, sigma = groups[0], scales(groups)
    dtype, history_dtype = dtypes(groups)
    size, sign = first["history_size"], -1 if first["maximize"] else 1
    return [
        kind(params, dtype, history_dtype, size, sigma[position], sign, is_owner)
        for (position, _, kind, _, is_owner, _), params in members.items()
    ]
