"""The bytes of a tensor, as a buffer to read into and to write from."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

WRITABLE = 0x200  # PyBUF_WRITE
_view = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor on the CPU; valid as long as the tensor lives.

    >>> import torch
    >>> tensor = torch.tensor([1, 258], dtype=torch.int16)
    >>> list(bytes_of(tensor))
    [1, 0, 2, 1]
    """
    # tensor.numpy() would need NumPy, which has no bfloat16.
    size = tensor.nbytes
    return _view(tensor.data_ptr(), size, WRITABLE) if size else memoryview(bytearray())


def pieces(content: Tensor, size: int) -> tuple[Tensor, ...]:
    """Return flat `content` cut into views of `size` elements and a rest.

    Args:
        content: a tensor of one dimension.
        size: the number of elements of each piece.
    """
    return torch.split_with_sizes(content, _sizes(content.numel(), size))


def _sizes(total: int, size: int) -> list[int]:
    return [min(size, total - begin) for begin in range(0, total, size)]
