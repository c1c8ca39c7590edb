"""The native reader: `tensor.cpp` and `reader.cpp`, compiled, with what it calls of torch.

Some of these functions are torch's own affair, so the reader is used with those versions of
torch that it was tested with, and not at all where it fails its trial. Without it every step
looks at every tensor from Python, which is slower and says the same. Where torch lays its
tensors out otherwise than `tensor.cpp` has it, the reader asks torch's functions about each.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optkit_core.errors import UnavailableError
from optkit_core.implementations.fused import cache as kernels

TITLE = "reader of addresses"
"""What the cache's list calls it."""

TESTED = ("2.13.",)
"""The versions of torch whose exported functions the reader may call."""

SOURCES = ("tensor.cpp", "reader.cpp")

SHIMS = (
    "is_defined",
    "get_data_ptr",
    "get_dim",
    "get_sizes",
    "get_strides",
    "get_dtype",
    "get_device_type",
    "get_layout",
)
PYTHON = ("PyDict_Next", "PyList_Size", "PyList_GetItem")
GRAD = "_ZNK3c1010TensorImpl4gradEv"

EXAMPLES = (torch.float32, torch.float64, torch.bfloat16)
"""The dtypes of the tensors that the reader is tried on."""

Address = ctypes.c_void_p


class Api(ctypes.Structure):
    """The structure of that name in `reader.cpp`."""

    _fields_ = (
        ("functions", Address * (len(SHIMS) + 1 + len(PYTHON))),
        ("ordinary", ctypes.c_ulonglong * 3),
    )


class Reader:
    """The compiled functions, each called while Python's lock is held."""

    def __init__(self, library: ctypes.PyDLL, functions: list[int]) -> None:
        """Take the library, and the addresses of what it calls."""
        self._api = Api(tuple(functions))
        self.api = ctypes.addressof(self._api)
        self.refresh = library.refresh
        self.note = library.note
        self.find = library.find
        self.same_list = library.same_list
        self.same_values = library.same_values
        self.without_gradients = library.without_gradients
        self.next_counts = library.next_counts
        self.advance = library.advance
        self.find.argtypes = [Address, Address, ctypes.c_int]
        self.same_list.argtypes = [Address, ctypes.py_object, Address, ctypes.c_longlong]
        self.same_values.argtypes = [Address, ctypes.py_object, Address, ctypes.c_longlong]
        self.without_gradients.argtypes = [Address, Address, ctypes.c_longlong]
        self.refresh.argtypes = [Address, Address]
        self.note.argtypes = [Address, Address]
        self.next_counts.argtypes = [Address, Address]
        self.advance.argtypes = [Address]
        library.learn_fields.argtypes = [Address, Address, Address, ctypes.c_longlong]
        self.knows_fields = bool(self._learn_fields(library))
        self._place = place_in_objects()

    def places(self, tensors: Iterable[Tensor]) -> array[int]:
        """Return where Python's objects keep these tensors, as torch's functions take them.

        Nobody else holds on to the tensors thereby, so they may be exchanged; the objects have
        to be kept.
        """
        return array("Q", [id(tensor) + self._place for tensor in tensors])

    def _learn_fields(self, library: ctypes.PyDLL) -> int:
        """Try on tensors of several kinds whether their fields lie as they are known."""
        tensors = [example for dtype in EXAMPLES for example in examples(dtype)]
        handles = Handles(tensors)
        itemsizes = array("q", [t.itemsize for t in tensors])
        place, count = itemsizes.buffer_info()
        learned: int = library.learn_fields(self.api, handles.address, place, count)
        return learned


class Handles:
    """References to tensors in the form in which torch's exported functions take them."""

    def __init__(self, tensors: list[Tensor]) -> None:
        """Refer to these tensors until this object goes."""
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = Address, [ctypes.py_object, ctypes.c_char_p]
        capsules = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(tensors)
        self.array = (Address * len(tensors))(*[pointer(item, None) for item in capsules])
        self._release = _torch_cpu().aoti_torch_delete_tensor_object
        self._release.argtypes = [Address]

    @property
    def address(self) -> int:
        """Where the references stand, one after another."""
        return ctypes.addressof(self.array)

    def __del__(self) -> None:
        for handle in self.array:
            self._release(handle)


def place_in_objects() -> int:
    """Return how many bytes into a tensor's Python object the tensor is found.

    Raises:
        UnavailableError: it isn't in the same place of all objects.
    """
    tensors = [torch.nn.Parameter(torch.empty(7)), *examples(torch.float32)]
    handles, word = Handles(tensors), ctypes.sizeof(Address)
    wanted = [_word(handle) for handle in handles.array if handle]
    for place in range(2 * word, Tensor.__basicsize__, word):
        if [_word(id(tensor) + place) for tensor in tensors] == wanted:
            return place
    raise UnavailableError("the objects of tensors aren't laid out as expected")


def _word(address: int) -> int | None:
    return Address.from_address(address).value


def examples(dtype: torch.dtype) -> list[Tensor]:
    """Return tensors of every layout that a tensor keeps in its own fields."""
    whole = torch.empty((2, 3, 4, 5), dtype=dtype)
    views = [whole[1], whole[:, 1], whole.transpose(1, 3), whole[0, 0, 0, 0], whole[..., ::2]]
    return [whole, *views, torch.nn.Parameter(torch.empty(7, dtype=dtype))]


@cache
def reader() -> Reader | None:
    """Return the native reader, or None where it can't be used."""
    if not torch.__version__.startswith(TESTED):
        return None
    try:
        found = Reader(ctypes.PyDLL(str(compiled())), _addresses())
    except (UnavailableError, OSError, AttributeError):
        return None
    return found if _works(found) else None


def compiled(portable: bool = False) -> Path:
    """Return the reader's library, compiled unless the cache has it.

    Raises:
        UnavailableError: it can't be had; says why.
    """
    source = "".join(Path(__file__).with_name(name).read_text() for name in SOURCES)
    return kernels.library(source, TITLE, portable)


def _addresses() -> list[int]:
    cpu, c10 = _torch_cpu(), ctypes.CDLL(str(_folder() / "libc10.so"))
    functions = [cpu[f"aoti_torch_{name}"] for name in SHIMS]
    functions += [c10[GRAD], *(ctypes.pythonapi[name] for name in PYTHON)]
    return [ctypes.cast(function, Address).value or 0 for function in functions]


def _works(found: Reader) -> bool:
    """Return whether the reader sees that a parameter has a gradient, and that one has none."""
    params = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    places = found.places(params)
    place, count = places.buffer_info()
    before = found.without_gradients(found.api, place, count)
    params[1].grad = torch.zeros(2)
    return bool(before and not found.without_gradients(found.api, place, count))


@cache
def _torch_cpu() -> Any:
    return ctypes.CDLL(str(_folder() / "libtorch_cpu.so"))


def _folder() -> Path:
    return Path(torch.__file__).parent / "lib"
