"""Extents: over which dims of its parameter a value of a trace varies."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from itertools import dropwhile


class Extent(IntFlag):
    """The dims of its parameter over which a value varies.

    Two values that are combined vary over those of both. A parameter is a batch of matrices: rows
    are its last dim but one, columns its last one. One of fewer dims has a single row, and a
    batch of one.

    >>> Extent.BATCH | Extent.ROWS | Extent.COLUMNS == Extent.ELEMENT
    True
    >>> Extent.ELEMENT.without(Extent.COLUMNS).sizes((3, 5, 7))
    (3, 5, 1)
    """

    TENSOR = 0
    BATCH = 1
    ROWS = 2
    COLUMNS = 4
    ELEMENT = 7

    def without(self, reduced: Extent) -> Extent:
        """Return what is left after a reduction over some dims."""
        return Extent(self & ~reduced)

    def sizes(self, matrices: Sequence[int]) -> tuple[int, int, int]:
        """Return the sizes of a value as batch, rows and columns.

        Args:
            matrices: those of its parameter.
        """
        batch, rows, columns = (
            size if self & dim else 1 for size, dim in zip(matrices, DIMS, strict=True)
        )
        return batch, rows, columns


DIMS = (Extent.BATCH, Extent.ROWS, Extent.COLUMNS)
"""The dims that a value can vary over, in order."""


def as_matrices(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return a parameter's shape as batch, rows and columns.

    >>> as_matrices((2, 3, 5, 7)), as_matrices((4,)), as_matrices(())
    ((6, 5, 7), (1, 1, 4), (1, 1, 1))
    """
    *leading, rows, columns = (1, 1, *shape)
    batch = 1
    for size in leading:
        batch *= size
    return batch, rows, columns


def extents_of_shape(shape: Sequence[int], whole: Sequence[int]) -> set[Extent]:
    """Return the extents that a tensor of some shape can have beside its parameter.

    Args:
        shape: the tensor's.
        whole: the parameter's.

    Returns:
        None of them where it isn't the parameter's shape with ones in place of some dims.

    >>> extents_of_shape((3, 5, 1), (3, 5, 7)), extents_of_shape((5,), (5, 7))
    ({<Extent.BATCH|ROWS: 3>}, set())
    """
    found = _without_leading_ones(shape)
    return {e for e in EXTENTS if found == _without_leading_ones(_kept(e, whole))}


EXTENTS = (
    Extent.ELEMENT,
    Extent.BATCH | Extent.ROWS,
    Extent.BATCH | Extent.COLUMNS,
    Extent.BATCH,
    Extent.TENSOR,
)
"""The extents that a buffer can have."""


def _kept(extent: Extent, whole: Sequence[int]) -> tuple[int, ...]:
    flags = [Extent.BATCH] * max(0, len(whole) - 2) + [Extent.ROWS, Extent.COLUMNS]
    dims = flags[len(flags) - len(whole) :]
    return tuple(size if extent & dim else 1 for size, dim in zip(whole, dims, strict=True))


def _without_leading_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(dropwhile(lambda size: size == 1, shape))
