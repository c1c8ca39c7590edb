"""Packed values: many small tensors as one vector of float64, and back into their memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FEW = 512
"""How many numbers of a tensor are found one by one; more than that are copied in one go.

To copy a tensor takes a microsecond, and to find a number a nanosecond and 16 bytes.
"""


class Concatenated:
    """Values that are packed once: in turn.

    Args:
        values: of any shapes and dtypes, on one device.
    """

    def __init__(self, values: Sequence[Tensor]) -> None:
        """Note their sizes."""
        self._values = list(values)
        self._sizes = [value.numel() for value in values]

    def vector(self) -> Tensor:
        """Return the values of now."""
        return torch.cat([value.reshape(-1) for value in self._values]).double()

    def write(self, vector: Tensor) -> None:
        """Give the values those of a vector, each in its dtype."""
        pairs = zip(split(vector, self._sizes), self._values, strict=True)
        torch._foreach_copy_(self._values, [part.view(value.shape) for part, value in pairs])


class Gathered:
    """Values that are packed in each step: most of them lie in one piece of memory.

    Args:
        values: of any shapes and dtypes, on one device, and always in the same memory.
    """

    def __init__(self, values: Sequence[Tensor]) -> None:
        """Note where each number lies, and where in the vector it goes."""
        self._device = values[0].device
        self._large: list[tuple[slice, Tensor]] = []
        small: dict[Any, list[tuple[int, Tensor]]] = {}
        end = 0
        for value in values:
            begin, end = end, end + value.numel()
            if value.numel() > FEW or not value.is_contiguous():
                self._large.append((slice(begin, end), value))
            else:
                piece = value.untyped_storage().data_ptr(), value.dtype
                small.setdefault(piece, []).append((begin, value))
        self._size = end
        self._small = [_Numbers(found) for found in small.values()]

    def vector(self) -> Tensor:
        """Return the values of now."""
        if len(self._small) == 1 and not self._large:
            return self._small[0].read()
        vector = torch.empty(self._size, dtype=torch.float64, device=self._device)
        for numbers in self._small:
            vector.index_copy_(0, numbers.places, numbers.read())
        if self._large:
            torch._foreach_copy_(*self._copied(vector))
        return vector

    def write(self, vector: Tensor) -> None:
        """Give the values those of a vector, each in its dtype."""
        if len(self._small) == 1 and not self._large:
            self._small[0].write(vector)
            return
        for numbers in self._small:
            numbers.write(vector.index_select(0, numbers.places))
        if self._large:
            parts, values = self._copied(vector)
            torch._foreach_copy_(values, parts)

    def _copied(self, vector: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        values = [value for _, value in self._large]
        return [vector[at].view(value.shape) for at, value in self._large], values


class _Numbers:
    """Single numbers of one dtype in one piece of memory.

    Args:
        values: contiguous tensors, each with its place in the vector.
    """

    def __init__(self, values: Sequence[tuple[int, Tensor]]) -> None:
        """Note where they lie."""
        first = values[0][1]
        memory = first.untyped_storage()
        size = memory.nbytes() // first.itemsize
        self._memory = first.new_empty(0).set_(memory, 0, (size,))  # type: ignore[call-overload]
        starts = [(int(value.storage_offset()), begin, value.numel()) for begin, value in values]
        device = first.device
        self._at = torch.cat([torch.arange(at, at + n, device=device) for at, _, n in starts])
        self.places = torch.cat([torch.arange(to, to + n, device=device) for _, to, n in starts])

    def read(self) -> Tensor:
        """Return the numbers of now in float64."""
        numbers: Tensor = self._memory.index_select(0, self._at).double()
        return numbers

    def write(self, numbers: Tensor) -> None:
        """Let them be other ones."""
        self._memory.index_copy_(0, self._at, numbers.to(self._memory.dtype))


def split(vector: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    """Return parts of a vector, which share its memory.

    Args:
        vector: of all sizes together.
        sizes: of the parts, in order.
    """
    parts: Sequence[Tensor] = torch.split(vector, sizes)
    return parts
