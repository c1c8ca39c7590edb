"""The compiled passes over the vectors of L-BFGS: their source, and how they are called."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch

from optkit_core import compiled_library

CHUNK = 4096
"""How many elements of a vector are treated at a time; the same number stands in passes.cpp."""

FILES = ("arithmetic.cpp", "passes.cpp")

PASSES = ("measure", "receive", "move", "compare", "look", "combine", "take_in", "aim")

REALS = {torch.float64: "double", torch.float32: "float"}

Address, Index = ctypes.c_void_p, ctypes.c_longlong

Known = ctypes.c_double * 4
"""Of a new pair: the products of its step and its change with the new gradient, and the change's
with its step and with itself."""


class Job(ctypes.Structure):
    """What the passes work on; the structure of that name in passes.cpp."""

    _fields_ = (
        *((name, Index) for name in ("size", "room", "threads")),
        ("vectors", Address * 5),
        *((name, Address) for name in ("rows", "inverse", "squares", "curvatures")),
        *((name, Address) for name in ("products", "before", "coefficients", "partial", "numbers")),
        ("fresh", Index),
        *((name, ctypes.c_double) for name in ("step", "at")),
        *((name, Index) for name in ("follows", "pieces")),
        *((name, Address) for name in ("ends", "places")),
    )


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
    found = compiled_library(*source(dtype), (Job,))
    number, job = ctypes.c_double, ctypes.POINTER(Job)
    found.measure.argtypes = [job, Index, Index]
    found.receive.argtypes = [job, Index, Index, number]
    found.move.argtypes = [job, number]
    found.compare.argtypes = [job, Index, Index, Index]
    found.look.argtypes = [job, Index, Index, Address]
    found.combine.argtypes = [job, Index, Index, number, number]
    found.take_in.argtypes = [job, Index, Index, number, Index, Index, Known]
    found.aim.argtypes = [job, Index, Index, number, number]
    for name in PASSES:
        getattr(found, name).restype = None
    return found
