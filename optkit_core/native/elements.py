"""Elements: where those of parameters and of their gradients begin, for compiled code."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from optkit_core.declaration.tensor_types import PLAIN_TYPES
from optkit_core.deprecation import warn_of_former_name
from optkit_core.native.shared_structures import ElementsStruct, address
from optkit_core.step.detect_changes import identities, native_reader

Address = ctypes.c_void_p


class Elements:
    """The addresses of the elements of some parameters on the CPU, or of their gradients.

    They are looked up each time, since anybody may give a parameter other memory or another
    gradient. Only what lies as compiled code expects it is found: ordinary tensors, each of the
    size that it had, with elements of one dtype, one after the other.

    Args:
        params: the parameters.
        dtype: of the elements.

    Attributes:
        addresses: where each parameter's elements begin, or those of its gradient; None for a
            gradient that is missing. Written by `find` and `find_gradients`.
        sizes: how many elements each parameter has.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.ones(3))
        >>> elements = Elements([p], torch.float32)
        >>> elements.find(), elements.addresses[0] == p.data_ptr()
        (True, True)
        >>> elements.find_gradients(), elements.addresses[0]
        (True, None)
        >>> p.data = torch.ones(6)[::2]
        >>> elements.find()
        False
    """

    def __init__(self, params: Sequence[Tensor], dtype: torch.dtype) -> None:
        """Note which parameters there are."""
        self.params, self.dtype = list(params), dtype
        self.sizes = array("q", [p.numel() for p in params])
        self.addresses = (Address * len(params))()
        self._example = torch.empty(0, dtype=dtype, device="cpu")
        self._reader = native_reader()
        if self._reader is not None:
            self._objects = identities(self.params)
            self._struct = ElementsStruct(
                len(params),
                address(self._objects),
                id(self._example),
                address(self.sizes),
                self.address,
            )
            self._struct_address = ctypes.addressof(self._struct)

    @property
    def address(self) -> int:
        """Where `addresses` itself begins, for compiled code that reads it."""
        return ctypes.addressof(self.addresses)

    @property
    def places(self) -> ctypes.Array[Address]:
        """The former name of `addresses`."""
        warn_of_former_name("Elements.places")
        return self.addresses

    def find(self) -> bool:
        """Write down where the elements of the parameters begin; whether all are found."""
        return self._read(gradients=False) or self._look_up(self.params)

    def find_gradients(self) -> bool:
        """Do the same for the gradients; None stands for one that is missing."""
        return self._read(gradients=True) or self._look_up([p.grad for p in self.params])

    def _read(self, gradients: bool) -> bool:
        """Have the native reader do it; False where it can't, or where one isn't as expected."""
        reader = self._reader
        return reader is not None and bool(reader.find(reader.api, self._struct_address, gradients))

    def _look_up(self, tensors: Sequence[Tensor | None]) -> bool:
        """Do it in Python, where there is no reader or where it met something unexpected."""
        found: list[Address | int | None] = []
        for tensor, size in zip(tensors, self.sizes, strict=True):
            if tensor is not None and not self._is_expected(tensor, size):
                return False
            found.append(None if tensor is None else tensor.data_ptr())
        self.addresses[:] = found
        return True

    def _is_expected(self, tensor: Tensor, size: int) -> bool:
        return (
            type(tensor) in PLAIN_TYPES
            and tensor.dtype == self.dtype
            and tensor.layout == torch.strided
            and tensor.device.type == "cpu"
            and tensor.numel() == size
            and tensor.is_contiguous()
            and not tensor.is_neg()
            and not tensor.is_conj()
        )
