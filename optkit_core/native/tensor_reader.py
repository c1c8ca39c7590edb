"""The compiled functions that notice changes and compute numbers, as Python calls them."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from optkit_core import torch_private
from optkit_core.errors import UnavailableError
from optkit_core.native.shared_structures import (
    ApiStruct,
    ElementsStruct,
    ExchangeTable,
    GroupsStruct,
    LineStruct,
    NumbersStruct,
    OperandStruct,
    PlanStruct,
    require_layouts,
)

# Functions only: macros such as PyList_GET_SIZE read an object at offsets of one release.
PYTHON = (
    "PyObject_GetAttr",
    "PyObject_Type",
    "PyDict_Next",
    "PyList_Size",
    "PyList_GetItem",
    "PyObject_VectorcallMethod",
    "PyCapsule_GetPointer",
    "Py_DecRef",
    "PyErr_Clear",
)
SHIMS = tuple(
    f"aoti_torch_{name}"
    for name in (
        "get_data_ptr",
        "get_dim",
        "get_sizes",
        "get_strides",
        "get_dtype",
        "get_device_type",
        "get_layout",
        "is_defined",
    )
)
RELEASE = "aoti_torch_delete_tensor_object"

DLPACK_MAJOR = 1
"""The version of DLPack's table of functions that is understood."""

Address = ctypes.c_void_p

STRUCTURES = (
    ApiStruct,
    OperandStruct,
    PlanStruct,
    GroupsStruct,
    ElementsStruct,
    LineStruct,
    NumbersStruct,
)
"""What the library and Python both declare."""


class Reader:
    """The compiled functions, each called while Python's lock is held.

    Args:
        library: the compiled reader; ``PyDLL`` keeps the lock during its calls.
    """

    def __init__(self, library: ctypes.PyDLL) -> None:
        """Take the library, and the addresses of what it calls.

        Raises:
            UnavailableError: one of these isn't there; says which.
        """
        require_layouts(library, STRUCTURES)
        exported = torch_private.exported([*SHIMS, RELEASE])
        missing: list[int | None] = [None] * (len(SHIMS) + 1)
        *shims, release = exported or missing
        self.release: int | None = release
        gradient = torch_private.gradient_function() if exported else None
        # Nothing here keeps these objects: they are constants of this code, or classes of torch.
        spelled = ("grad", "is_neg", torch_private.LOCAL_PART, torch_private.SPEC)
        names = map(sys.intern, spelled)
        objects = (None, False, *names, Tensor, torch.nn.Parameter)  # in ApiStruct's order
        functions = [*_python_functions(), _view(), *shims, gradient]
        self._api = ApiStruct(*functions, *map(id, objects))
        self.api = ctypes.addressof(self._api)
        address, index, value = Address, ctypes.c_longlong, ctypes.py_object
        self.note = _function(library, "note", address, address)
        self.refresh = _function(library, "refresh", address, address)
        self.find = _function(library, "find", address, address, ctypes.c_int)
        self.compare_groups = _function(library, "compare_groups", address, address, result=index)
        self.same_values = _function(library, "same_values", address, value, address, index)
        self.open_capsules = _function(
            library, "open_capsules", address, value, address, result=None
        )
        self.compute = _function(library, "compute", address, result=index)
        self.assign = _function(library, "assign", address, result=None)
        self.next_counts = _function(library, "next_counts", address, index, index, address)
        self.advance = _function(library, "advance", address, index, index, result=None)

    def handles(self, tensors: Sequence[Tensor]) -> Handles | None:
        """Return references to tensors for as long as they are needed, None without torch's."""
        if self.release is None:
            return None
        capsules = torch_private.handles(tensors)
        if capsules is None:
            return None
        references = (Address * len(capsules))()
        self.open_capsules(self.api, capsules, ctypes.addressof(references))
        return Handles(references, self.release)


class Handles:
    """References to tensors in the form in which torch's exported functions take them.

    Args:
        references: the handles, which this object owns.
        release: the address of torch's function that gives one back.
    """

    def __init__(self, references: ctypes.Array[Address], release: int) -> None:
        """Own these references until this object goes."""
        self.array = references
        # PYFUNCTYPE keeps Python's lock: the last reference may end a tensor's object of Python.
        self._release = ctypes.PYFUNCTYPE(ctypes.c_int, Address)(release)

    @property
    def address(self) -> int:
        """The address of the references, one after another."""
        return ctypes.addressof(self.array)

    def __del__(self) -> None:
        for handle in self.array:
            self._release(handle)


def _function(
    library: ctypes.PyDLL, name: str, *arguments: type, result: type | None = ctypes.c_int
) -> Callable[..., Any]:
    function = library[name]
    function.argtypes, function.restype = arguments, result
    return function


def _python_functions() -> list[int | None]:
    return [ctypes.cast(ctypes.pythonapi[name], Address).value for name in PYTHON]


def _view() -> int:
    """Return the address of DLPack's function that looks at a tensor without owning it."""
    address = torch_private.exchange_api()
    if address is None:
        raise UnavailableError("this release of torch has no table of DLPack's functions for C")
    table = ExchangeTable.from_address(address)
    if table.major != DLPACK_MAJOR:
        raise UnavailableError(f"torch's table of DLPack's functions is of version {table.major}")
    view: int = table.view
    return view
