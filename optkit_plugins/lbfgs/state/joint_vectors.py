"""Joint vectors: those of all blocks in one, in the order of the parameters, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.pair_matrix import split_views
from optkit_plugins.lbfgs.vectors.space import Space

Pick: TypeAlias = Callable[[Block], Tensor]
"""Returns one of a block's vectors."""


def join(space: Space, pick: Pick, params: Sequence[Tensor]) -> Tensor:
    """Return the vectors that `pick` takes from the blocks as one; a view, where one holds all.

    Args:
        space: the blocks.
        pick: returns a vector of a block.
        params: all parameters, in the order of the elements.
    """
    if is_whole(space):
        return pick(space.blocks[0])
    vectors = [view.reshape(-1) for view in _in_order(space, pick, params)]
    return torch.cat([vector.to(vectors[0].device) for vector in vectors])


def join_rows(space: Space, rows: Sequence[int], params: Sequence[Tensor]) -> list[Tensor]:
    """Return rows of the pairs as `join` does.

    Args:
        space: the blocks.
        rows: their numbers.
        params: all parameters.
    """
    if is_whole(space):
        return list(map(space.blocks[0].pairs.row, rows))
    return [join(space, pick_row(row), params) for row in rows]


def split(vector: Tensor, space: Space, pick: Pick, params: Sequence[Tensor]) -> None:
    """Copy a joint vector into the vectors that `pick` takes from the blocks.

    Args:
        vector: the joint vector, of shape ``(n,)``.
        space: the blocks.
        pick: returns a vector of a block.
        params: all parameters, in the order of the elements.
    """
    targets = _in_order(space, pick, params)
    parts = split_views(vector, [target.numel() for target in targets])
    for target, part in zip(targets, parts, strict=True):
        target.copy_(part.view(target.shape))


def is_whole(space: Space) -> bool:
    """Whether a single flat tensor holds each vector."""
    return len(space.blocks) == 1 and not space.is_sharded


def pick_row(row: int) -> Pick:
    """Return what picks a row of the pairs, by its number."""
    return lambda block: block.pairs.row(row)


def _in_order(space: Space, pick: Pick, params: Sequence[Tensor]) -> list[Tensor]:
    views = {
        id(p): view
        for block in space.blocks
        for p, view in zip(block.params, block.as_shaped(pick(block)), strict=True)
    }
    parts = [id(space.part_of(p)) for p in params]
    return [views[part] for part in parts if part in views]
