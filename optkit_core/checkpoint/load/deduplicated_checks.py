"""Deduplicated checks: of thousands of tensors that are alike, one is checked for all.

Large models have many parameters of few shapes. To look at every saved tensor from Python takes
longer than to copy it, so tensors are grouped by all that a check depends on, its key, and the
check is made once for each key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Keys = Callable[[Sequence[Tensor], Sequence[int]], Iterator[Hashable]]
"""Returns for each tensor what its check depends on, given the keys of their parameters."""


def parameter_keys(parameters: Sequence[Tensor], groups: Sequence[int]) -> list[int]:
    """Return a number for each parameter, equal for those whose buffers are alike.

    Args:
        parameters: the parameters.
        groups: the position of each one's group, whose options decide on its buffers too.
    """
    numbers: dict[Hashable, int] = {}
    keys = (
        (group, type(p), p.dtype, p.device, p.shape, p.layout == torch.strided and p.stride())
        for p, group in zip(parameters, groups, strict=True)
    )
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def checked(
    check: Callable[..., bool],
    keys: Keys,
    of_parameters: Sequence[int],
    tensors: Sequence[Any],
    *columns: Sequence[Any],
) -> list[bool]:
    """Return what a check says of each row.

    Args:
        check: is called with a tensor and what else is in its row.
        keys: what the check depends on; where it raises RuntimeError, each row is checked.
        of_parameters: the `parameter_keys`.
        tensors: the first items of the rows; what isn't a plain tensor has no key.
        columns: the other items of the rows.
    """
    if {*map(type, tensors)} == {Tensor}:
        with contextlib.suppress(RuntimeError):
            rows = zip(tensors, *columns, strict=True)
            examples = dict(zip(keys(tensors, of_parameters), rows, strict=True))
            if all(check(*row) for row in examples.values()):
                return [True] * len(tensors)
    # One is wrong: only a look at each tells which.
    return list(map(check, tensors, *columns))
