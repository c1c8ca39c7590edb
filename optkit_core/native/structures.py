"""The structures that Python fills in for compiled code, each declared once on either side.

A library tells how large its structures are and where their fields stand, by the macro of
`layout.cpp`; they are compared when it is loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

from optkit_core.errors import UnavailableError

Index, Address, Int = ctypes.c_longlong, ctypes.c_void_p, ctypes.c_int


def fields(**kinds: str) -> list[tuple[str, Any]]:
    """Return the fields of a structure: for each type of C their names, in order."""
    types = {"index": Index, "address": Address, "int": Int}
    return [
        (name, types[kind.rstrip("_")]) for kind, names in kinds.items() for name in names.split()
    ]


class ExchangeTable(ctypes.Structure):
    """DLPack's functions for C, ``DLPackExchangeAPI`` of version 1; its layout is a standard."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        *fields(address="previous allocator from_object to_object view stream"),
    )


class Api(ctypes.Structure):
    """What the reader calls, and the objects that it knows."""

    _fields_ = fields(
        address="attribute type next_item length element call_method pointer release "
        "forget_error view "
        "get_data_ptr get_dim get_sizes get_strides get_dtype get_device_type get_layout "
        "is_defined gradient "
        "none no grad is_neg tensor parameter"
    )


class Operand(ctypes.Structure):
    """What all tensors of a column of a table have in common."""

    _fields_ = fields(int="code bits device device_index dtype device_type")


class Plan(ctypes.Structure):
    """A table's tensors, as they are to stay."""

    _fields_ = fields(
        index="rows buffers",
        address="params impls tokens states handles dicts entries counts dims shapes operands "
        "near memory",
    )


class Groups(ctypes.Structure):
    """The parameter groups of an optimizer, as they are to stay."""

    _fields_ = fields(
        index="count without",
        address="list dicts sizes keys values lists lengths params lacking changed",
    )


class Elements(ctypes.Structure):
    """Tensors whose elements somebody wants to find."""

    _fields_ = fields(index="count", address="params example sizes places")


class Line(ctypes.Structure):
    """One operation on numbers."""

    _fields_ = fields(int="operation left right outcome")


class Numbers(ctypes.Structure):
    """The numbers of an update body, and what they are computed from."""

    _fields_ = fields(
        index="rows",
        address="group counters",
        index_="wide",
        address_="settings",
        index__="given values constants lines",
        address__="line",
        index___="results",
        address___="result value set numbers",
    )


class Job(ctypes.Structure):
    """What a kernel works on."""

    _fields_ = fields(index="rows", address="ends memory set numbers", index_="threads")


def require_layouts(library: Any, structures: Iterable[type[ctypes.Structure]]) -> None:
    """Compare a library's structures with Python's.

    Args:
        library: one whose source declares their layouts.
        structures: Python's declarations.

    Raises:
        UnavailableError: one isn't the same; names it.
    """
    for structure in structures:
        name = structure.__name__
        wanted = _layout(structure)
        if layout_in(library, name, len(wanted)) != wanted:
            raise UnavailableError(f"the library's structure {name} isn't laid out as expected")


def layout_in(library: Any, name: str, length: int) -> list[int]:
    """Return size and offsets of a structure as a library has them, and what ends the list."""
    return list((Index * length).in_dll(library, f"layout_of_{name}"))


def _layout(structure: type[ctypes.Structure]) -> list[int]:
    offsets = [getattr(structure, name).offset for name, *_ in structure._fields_]
    return [ctypes.sizeof(structure), *offsets, -1]
