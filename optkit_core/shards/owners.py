"""Owners: which rank steps which of the matrices that ranks hold parts of.

Every rank finds the same owners, since they follow from what all ranks share: the shapes of the
whole matrices, and their order.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from math import prod


def cost(shape: Sequence[int]) -> int:
    """Return about how many multiplications a product with a matrix takes.

    One of more than two dims counts as a matrix of as many rows as its first dim has.

    Args:
        shape: of the whole matrix, of any number of dims.

    >>> cost((4, 3)), cost((2, 3, 5)), cost((7,))
    (36, 60, 7)
    """
    rows, columns = prod(shape[:1]), prod(shape[1:])
    return rows * columns * min(rows, columns)


def assigned(costs: Sequence[int], count: int) -> list[int]:
    """Return the owner of each matrix, from 0: the costliest first, to whoever has least to do.

    The costliest rank has at most 4/3 of what it would have in the best of all assignments.

    Args:
        costs: of the matrices.
        count: how many ranks there are, from 1.

    >>> assigned([1, 5, 3, 4], 2)
    [0, 0, 1, 1]
    """
    owners, loads = [0] * len(costs), [(0, rank) for rank in range(count)]
    for position in sorted(range(len(costs)), key=lambda i: -costs[i]):
        load, owner = loads[0]
        owners[position] = owner
        # Matrices that cost nothing are spread, too.
        heapq.heapreplace(loads, (load + max(1, costs[position]), owner))
    return owners
