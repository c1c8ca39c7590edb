"""What clients write: whether two runs have left the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import torch


def assert_same_files(one: Path, other: Path) -> None:
    """Raise unless two files of ``torch.save`` or safetensors hold the same values, bit for bit.

    Args:
        one: of the uninterrupted run.
        other: of the one that was resumed.
    """
    assert equal(_read(one), _read(other)), f"{one.name} differs"


def equal(one: Any, other: Any) -> bool:
    """Return whether two nests of dicts, lists and tensors hold the same values."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        same_keys = isinstance(other, dict) and one.keys() == other.keys()
        return same_keys and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        same_length = isinstance(other, type(one)) and len(one) == len(other)
        return same_length and all(map(equal, one, other))
    if isinstance(one, numpy.ndarray):
        return numpy.array_equal(one, other)
    return bool(one == other)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file  # of the client's own

        return load_file(path)
    return torch.load(path, weights_only=False)
