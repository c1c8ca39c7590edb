"""Elements: where those of parameters and of their gradients begin, for compiled code."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from optkit_core.native.structures import Elements as Wanted
from optkit_core.step.bucket_key import PLAIN_TYPES
from optkit_core.step.changes import identities, native_reader

Address = ctypes.c_void_p


class Elements:
    """Where the elements of some parameters on the CPU begin, and those of their gradients.

    They are looked for each time, since anybody may give a parameter other memory or another
    gradient. Only what lies as compiled code expects it is found: ordinary tensors, each of the
    size that it had, with elements of one dtype, one after the other.

    Args:
        params: the parameters.
        dtype: of the elements.

    Example:
        >>> import torch
        >>> p = torch.nn.Parameter(torch.ones(3))
        >>> elements = Elements([p], torch.float32)
        >>> elements.find(), elements.places[0] == p.data_ptr()
        (True, True)
        >>> elements.find_gradients(), elements.places[0]
        (True, None)
        >>> p.data = torch.ones(6)[::2]
        >>> elements.find()
        False
    """

    def __init__(self, params: Sequence[Tensor], dtype: torch.dtype) -> None:
        """Note which parameters there are."""
        self.params, self.dtype = list(params), dtype
        self.sizes = array("q", [p.numel() for p in params])
        self.places = (Address * len(params))()
        self._example = torch.empty(0, dtype=dtype, device="cpu")
        self._reader = native_reader()
        if self._reader is not None:
            self._objects = identities(self.params)
            self._wanted = Wanted(
                len(params),
                self._objects.buffer_info()[0],
                id(self._example),
                self.sizes.buffer_info()[0],
                self.address,
            )
            self._place = ctypes.addressof(self._wanted)

    @property
    def address(self) -> int:
        """Where the places stand, one after another."""
        return ctypes.addressof(self.places)

    def find(self) -> bool:
        """Write down where the elements of the parameters begin; whether all are found."""
        if self._reader is not None and self._reader.find(self._reader.api, self._place, 0):
            return True
        return self._ask(self.params)

    def find_gradients(self) -> bool:
        """Do the same for the gradients; None stands for one that is missing."""
        if self._reader is not None and self._reader.find(self._reader.api, self._place, 1):
            return True
        return self._ask([p.grad for p in self.params])

    def _ask(self, tensors: Sequence[Tensor | None]) -> bool:
        """Do the same through Python."""
        found: list[Address | int | None] = []
        for tensor, size in zip(tensors, self.sizes, strict=True):
            if tensor is not None and not self._is_expected(tensor, size):
                return False
            found.append(None if tensor is None else tensor.data_ptr())
        self.places[:] = found
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
