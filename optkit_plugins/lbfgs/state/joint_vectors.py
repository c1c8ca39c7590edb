"""Joint vectors: those of all blocks in one, in the order of the parameters, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from optkit_plugins.lbfgs.hessian.rows import pieces_of
from optkit_plugins.lbfgs.vectors.block import Block
from optkit_plugins.lbfgs.vectors.space import Space

Pick: TypeAlias = Callable[[Block], Tensor]


def join(space: Space, pick: Pick, params: Sequence[Tensor]) -> Tensor:
    """Return the vectors that `pick` takes from the blocks as one; a view, where one holds all.

    Args:
        space: the blocks.
        pick: returns a vector of a block.
        params: all parameters, in the order of the elements.
    """
    if is_whole(space):
        return pick(space.blocks[0])
    pieces = _pieces(space, pick)
    parts = [pieces[id(p)].reshape(-1) for p in params if id(p) in pieces]
    return torch.cat([part.to(parts[0].device) for part in parts])


def join_rows(space: Space, rows: Sequence[int], params: Sequence[Tensor]) -> list[Tensor]:
    """Return some rows of the history as `join` does."""
    if is_whole(space):
        view = space.blocks[0].rows.view
        return [view(row) for row in rows]
    return [join(space, _row(row), params) for row in rows]


def is_whole(space: Space) -> bool:
    """Whether a single flat tensor holds each vector."""
    return len(space.blocks) == 1


def split(vector: Tensor, space: Space, pick: Pick, params: Sequence[Tensor]) -> None:
    """Copy a joint vector into the vectors that `pick` takes from the blocks."""
    pieces = _pieces(space, pick)
    wanted = [pieces[id(p)] for p in params if id(p) in pieces]
    parts = pieces_of(vector, [piece.numel() for piece in wanted])
    for piece, part in zip(wanted, parts, strict=True):
        piece.copy_(part.view(piece.shape))


def _row(row: int) -> Pick:
    return lambda block: block.rows.view(row)


def _pieces(space: Space, pick: Pick) -> dict[int, Tensor]:
    return {
        id(p): piece
        for block in space.blocks
        for p, piece in zip(block.params, block.divided(pick(block)), strict=True)
    }
