"""The structures that Python fills in for compiled code, each declared once on either side.

A field that is missing on one side would make compiled code write anywhere. A library therefore
tells how large its structures are and at which offsets their fields stand, by the macro of
`layout.cpp`; they are compared when it is loaded.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable
from typing import Any

from optkit_core.errors import UnavailableError

Index, Address, Int = ctypes.c_longlong, ctypes.c_void_p, ctypes.c_int
WORD = 8
"""The bytes of an index, an address or a double."""

TYPES = {"index": Index, "address": Address, "int": Int}


def address(values: array[Any]) -> int:
    """Return where an array's elements begin."""
    return values.buffer_info()[0]


def fields(*declarations: str) -> list[tuple[str, Any]]:
    """Return the fields of a structure in order.

    Args:
        declarations: a type of `TYPES`, then the names of fields of that type.

    >>> [name for name, _ in fields("index rows", "address ends memory")]
    ['rows', 'ends', 'memory']
    """
    split = [declaration.split() for declaration in declarations]
    return [(name, TYPES[kind]) for kind, *names in split for name in names]


# Order and types are DLPack's, https://dmlc.github.io/dlpack; the names are this module's.
class ExchangeTable(ctypes.Structure):
    """DLPack's functions for C, ``DLPackExchangeAPI`` of version 1; its layout is a standard."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        *fields("address previous allocator from_object to_object view stream"),
    )


class ApiStruct(ctypes.Structure):
    """What the reader calls, and the objects that it knows."""

    cpp_name = "Api"
    _fields_ = fields(
        "address attribute type next_item length element call_method pointer release forget_error",
        "address view get_data_ptr get_dim get_sizes get_strides get_dtype get_device_type",
        "address get_layout is_defined gradient",
        "address none no grad is_neg local_part spec tensor parameter",
    )


class OperandStruct(ctypes.Structure):
    """What all tensors of a column of a table have in common."""

    cpp_name = "Operand"
    _fields_ = fields("int code bits device device_index dtype device_type")


class PlanStruct(ctypes.Structure):
    """A table's tensors, as they are to stay."""

    cpp_name = "Plan"
    _fields_ = fields(
        "index rows buffers numbers",
        "address params impls tokens states handles dicts entries counts dims shapes",
        "address shaped forms wholes noted specs operands hints memory",
    )


class GroupsStruct(ctypes.Structure):
    """The parameter groups of an optimizer, as they are to stay."""

    cpp_name = "Groups"
    _fields_ = fields(
        "index count without",
        "address list dicts sizes keys values lists lengths params lacking changed",
    )


class ElementsStruct(ctypes.Structure):
    """Tensors whose elements somebody wants to find."""

    cpp_name = "Elements"
    _fields_ = fields("index count", "address params example sizes addresses")


class LineStruct(ctypes.Structure):
    """One operation on numbers: a `ScalarInstruction`."""

    cpp_name = "Line"
    _fields_ = fields("int operation left right outcome")


class NumbersStruct(ctypes.Structure):
    """The numbers of an update body, and what they are computed from."""

    cpp_name = "Numbers"
    _fields_ = fields(
        "index rows",
        "address group counters",
        "index wide",
        "address settings",
        "index given scalars",
        "address scalar is_wide",
        "index values constants lines",
        "address line",
        "index results",
        "address result",
        "index updates",
        "address updated update value set numbers assigned",
    )


class JobStruct(ctypes.Structure):
    """What a kernel works on."""

    cpp_name = "Job"
    _fields_ = fields(
        "index rows",
        "address ends memory set numbers",
        "index threads",
        "address matrices scratch",
    )


def require_layouts(library: ctypes.CDLL, structures: Iterable[type[ctypes.Structure]]) -> None:
    """Compare a library's structures with Python's.

    Args:
        library: one whose source declares their layouts.
        structures: Python's declarations. The name in C++ is the class attribute ``cpp_name``
            where there is one, and that of the class otherwise.

    Raises:
        UnavailableError: one isn't the same; names it.
    """
    for structure in structures:
        name = getattr(structure, "cpp_name", structure.__name__)
        expected = _layout(structure)
        if layout_in(library, name, len(expected)) != expected:
            raise UnavailableError(f"the library's structure {name} isn't laid out as expected")


def layout_in(library: ctypes.CDLL, name: str, length: int) -> list[int]:
    """Return size and offsets of a structure as a library has them, and what ends the list.

    Args:
        library: one whose source declares the layout.
        name: the structure's in C++.
        length: how many numbers there are: size, an offset for each field, and -1.
    """
    return list((Index * length).in_dll(library, f"layout_of_{name}"))


def _layout(structure: type[ctypes.Structure]) -> list[int]:
    offsets = [getattr(structure, name).offset for name, *_ in structure._fields_]
    # A further field in C++ stands where -1 is expected.
    return [ctypes.sizeof(structure), *offsets, -1]
