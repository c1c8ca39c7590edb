"""Comparisons: how far two implementations of one algorithm may differ, and whether they do."""

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
    actual: Sequence[Tensor], expected: Sequence[Tensor], dtype: torch.dtype | None = None
) -> None:
    """Assert that tensors agree within the tolerance of their dtype.

    Args:
        actual: the tensors of one implementation.
        expected: those of the reference.
        dtype: whose tolerance counts, where it isn't the tensors' own.

    Raises:
        AssertionError: they don't; says where and by how much.
    """
    for one, reference in zip(actual, expected, strict=True):
        assert_close(one, reference, TOLERANCES[dtype or reference.dtype])


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Assert that two tensors are of one dtype and shape and differ by no more.

    Args:
        actual: a tensor.
        expected: the reference.
        tolerance: relative to the reference, and absolute too; NaN equals NaN.

    Raises:
        AssertionError: they don't; says where and by how much.
    """
    torch.testing.assert_close(
        actual.detach(), expected.detach(), rtol=tolerance, atol=tolerance, equal_nan=True
    )


def is_same(actual: Any, expected: Any) -> bool:
    """Return whether two entries of a state hold the same values, NaN included.

    Args:
        actual: a tensor, a number, a list or anything that compares.
        expected: the same.
    """
    if isinstance(actual, Tensor) and isinstance(expected, Tensor):
        alike = actual.shape == expected.shape and actual.dtype == expected.dtype
        if actual.is_sparse and expected.is_sparse:
            actual, expected = actual.to_dense(), expected.to_dense()
        # Not torch.equal, to which a NaN differs from itself.
        return alike and torch.allclose(actual, expected, rtol=0, atol=0, equal_nan=True)
    if isinstance(actual, (list, tuple)):
        return len(actual) == len(expected) and all(map(is_same, actual, expected))
    return bool(actual == expected)


def tolerance_for(name: str, entry: Tensor, least: float) -> float:
    """Return how far an entry of a parameter's state may differ: counts must not.

    Args:
        name: of the entry.
        entry: the entry.
        least: how far its parameter may.
    """
    if name == STEP:
        return 0.0
    # A float32 buffer of a bfloat16 parameter is no more exact than the gradients it sums up.
    return max(least, TOLERANCES.get(entry.dtype, 0.0))


def assert_same_state(
    actual: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float
) -> None:
    """Assert that two states of one parameter have the same entries, and that these agree.

    Args:
        actual: the state of one implementation.
        expected: that of the reference.
        tolerance: how far their parameter may differ; 0 where they must be equal.

    Raises:
        AssertionError: they don't; names the entry.
    """
    assert actual.keys() == expected.keys(), (
        f"has the state {sorted(actual)}, not {sorted(expected)}"
    )
    for name, value in actual.items():
        if not tolerance:
            # Cut to 80 characters: which entry it is matters more than its elements.
            assert is_same(value, expected[name]), (
                f"{name} is {value!r:.80}, not {expected[name]!r:.80}"
            )
        elif isinstance(value, Tensor):
            try:
                assert_close(value, expected[name], tolerance_for(name, value, tolerance))
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
