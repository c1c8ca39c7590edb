"""Agreement: how far two implementations of one algorithm may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core.declaration.buffers import STEP

TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 4e-2,
    torch.float16: 5e-3,
    torch.complex64: 2e-5,
    torch.complex128: 1e-12,
}
"""How far implementations may differ after some tens of steps: relative to the value,
and absolute for values below one."""


def assert_agree(
    found: Sequence[Tensor], wanted: Sequence[Tensor], dtype: torch.dtype | None = None
) -> None:
    """Assert that tensors agree within the tolerance of their dtype.

    Args:
        found: the tensors of one implementation.
        wanted: those of the reference.
        dtype: whose tolerance counts, where it isn't the tensors' own.

    Raises:
        AssertionError: they don't; says where and by how much.
    """
    for mine, other in zip(found, wanted, strict=True):
        assert_close(mine, other, TOLERANCES[dtype or other.dtype])


def assert_close(mine: Tensor, other: Tensor, tolerance: float) -> None:
    """Assert that two tensors are of one dtype and shape and differ by no more.

    Args:
        mine: a tensor.
        other: the reference.
        tolerance: relative to the reference, and absolute too; NaN equals NaN.

    Raises:
        AssertionError: they don't; says where and by how much.
    """
    torch.testing.assert_close(
        mine.detach(), other.detach(), rtol=tolerance, atol=tolerance, equal_nan=True
    )


def is_same(mine: Any, other: Any) -> bool:
    """Return whether two entries of a state hold the same values, NaN included."""
    if isinstance(mine, Tensor) and isinstance(other, Tensor):
        return mine.shape == other.shape and torch.allclose(
            mine, other, rtol=0, atol=0, equal_nan=True
        )
    if isinstance(mine, (list, tuple)):
        return len(mine) == len(other) and all(map(is_same, mine, other))
    return bool(mine == other)


def tolerance_for(name: str, parameter: Tensor, entry: Tensor) -> float:
    """Return how far an entry of a parameter's state may differ: counts must not."""
    if name == STEP:
        return 0.0
    return max(TOLERANCES[parameter.dtype], TOLERANCES.get(entry.dtype, 0.0))


def assert_same_state(
    mine: Mapping[str, Any], other: Mapping[str, Any], parameter: Tensor, is_exact: bool
) -> None:
    """Assert that two states of one parameter have the same entries, and that these agree.

    Args:
        mine: the state of one implementation.
        other: that of the reference.
        parameter: whose state it is; its dtype's tolerance counts.
        is_exact: whether they must be equal.

    Raises:
        AssertionError: they don't; names the entry.
    """
    assert mine.keys() == other.keys(), f"has the state {sorted(mine)}, not {sorted(other)}"
    for name, value in mine.items():
        if is_exact:
            assert is_same(value, other[name]), f"{name} is {value!r:.80}, not {other[name]!r:.80}"
        elif isinstance(value, Tensor):
            try:
                assert_close(value, other[name], tolerance_for(name, parameter, value))
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
