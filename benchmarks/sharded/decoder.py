"""The parameters of a language model, by their shapes."""

from __future__ import annotations

Shape = tuple[int, ...]

VOCABULARY, WIDTH, INNER, DEPTH = 32_000, 4096, 11_008, 32
"""A decoder of 6.7 billion parameters."""


def shapes(
    vocabulary: int = VOCABULARY, width: int = WIDTH, inner: int = INNER, depth: int = DEPTH
) -> list[Shape]:
    """Return the shapes of a decoder: embedding, blocks, last norm, and scores.

    Args:
        vocabulary: how many tokens there are.
        width: of a token's representation.
        inner: the width within a block's gated layer.
        depth: how many blocks.
    """
    attention: list[Shape] = [(width, width)] * 4
    gated: list[Shape] = [(inner, width), (inner, width), (width, inner)]
    block: list[Shape] = [*attention, *gated, (width,), (width,)]
    return [(vocabulary, width), *block * depth, (width,), (vocabulary, width)]


def hidden(all_shapes: list[Shape]) -> list[Shape]:
    """Return the matrices of the blocks, which are those that Muon is for."""
    return [shape for shape in all_shapes[1:-2] if len(shape) == 2]
