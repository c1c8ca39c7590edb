"""The record of an operation: all that any part of optkit knows of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple


class Rounding(Enum):
    """How close an operation's results are to those of torch's tensor method."""

    EXACT = "the same bits on every device"
    ROUNDED = "each step of it is rounded correctly; torch may round one otherwise on a device"
    LIBRARY = "within two units in the last place: torch's mathematical library is another one"


class Operation(NamedTuple):
    """An operation on the elements of tensors, with a form for each backend.

    A form in a source language is a template: ``{x}`` stands for the tensor whose method is
    called, ``{other}``, ``{alpha}`` and so on for its arguments by name.

    Args:
        name: its name in a trace, unique.
        arguments: the names of its operands after the tensor itself, as torch names them.
        cpp: its form in C++, for the type ``C``; other functions are those of `kernel.cpp`.
        triton: its form in Triton; functions without a prefix are those of `arithmetic.triton`.
        methods: the tensor methods that it is when they are called with just these arguments,
            the documented one first; None where that is the method of the same name.
        tensor: what computes it of tensors and of bundles of tensors (``foreach``) when an update
            is compiled, every argument a tensor; None: the tensor method of the same name.
        exponent: the power that it is; ``x ** exponent`` is then this operation.
        rounding: how close its results are to torch's.
        is_condition: whether its results are true or false.
        condition_operands: the positions of the operands that are conditions themselves.
        lacking: why a form is None, if one is.
    """

    name: str
    arguments: tuple[str, ...] = ()
    cpp: str | None = None
    triton: str | None = None
    methods: tuple[str, ...] | None = None
    tensor: Callable[..., Any] | None = None
    exponent: float | None = None
    rounding: Rounding = Rounding.EXACT
    is_condition: bool = False
    condition_operands: tuple[int, ...] = ()
    lacking: str = ""
