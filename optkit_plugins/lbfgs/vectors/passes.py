"""The compiled passes over the vectors of L-BFGS: their source, and how they are called."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch

from optkit_core import compiled_library

CHUNK = 4096
"""How many elements of a vector are treated at a time; the same number is in workspace.cpp."""

FILES = ("arithmetic.cpp", "workspace.cpp", "passes.cpp")

REALS = {torch.float64: "double", torch.float32: "float"}

Address, Index, Number = ctypes.c_void_p, ctypes.c_longlong, ctypes.c_double

PairProducts = Number * 4
r"""Of a new pair: :math:`s^\top g`, :math:`y^\top g`, :math:`s^\top y` and :math:`y^\top y`."""


class Workspace(ctypes.Structure):
    """What the passes work on; the structure of that name in workspace.cpp."""

    # Loading compares this order with the compiler's, so that no pass works on shifted fields.
    _fields_ = (
        *((name, Index) for name in ("size", "capacity", "threads")),
        ("vectors", Address * 5),
        *((name, Address) for name in ("pairs", "inverse", "squares", "curvatures")),
        *((name, Address) for name in ("products", "previous", "coefficients", "sums", "numbers")),
        ("pending", Index),
        *((name, Number) for name in ("pending_length", "position")),
        *((name, Index) for name in ("is_lazy", "tensors")),
        *((name, Address) for name in ("ends", "addresses")),
    )


ARGUMENTS = {
    "measure": (Index, Index),
    "receive": (Index, Index, Number),
    "move": (Number,),
    "compare": (Index, Index, Index),
    "project": (Index, Index, Address),
    "combine": (Index, Index, Number, Number),
    "store_pair": (Index, Index, Number, Index, Index, Address),
    "push_pair": (Index, Index, Number, Index, Index, PairProducts),
    "direct": (Index, Index, Number, Number),
}
"""What each pass takes after the workspace."""


def source(dtype: torch.dtype) -> tuple[str, str]:
    """Return the text of the passes for vectors of a dtype, and its title."""
    texts = (Path(__file__).with_name(name).read_text() for name in FILES)
    text = "\n".join(texts)
    return f"typedef {REALS[dtype]} Real;\n{text}", f"LBFGS {REALS[dtype]}"


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL:
    """Return the compiled passes for vectors of a dtype.

    Raises:
        UnavailableError: they can't be had; says why.
    """
    loaded = compiled_library(*source(dtype), (Workspace,))
    for name, arguments in ARGUMENTS.items():
        function = getattr(loaded, name)
        function.argtypes = [ctypes.POINTER(Workspace), *arguments]
        function.restype = None
    return loaded
