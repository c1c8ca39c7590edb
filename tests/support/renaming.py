"""Torch as a release might be in which a private name is another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

Patch = Callable[[Any, str, Any], None]
"""Sets an attribute, such as ``setattr`` and ``MonkeyPatch.setattr``."""


def rename(old: str, new: str, *owners: Any, patch: Patch = setattr) -> None:
    """Let modules and classes use another name in all of their functions.

    Args:
        old: the name of an attribute or a global variable.
        new: its name from now on.
        owners: whose functions, and those of whose classes, use it.
        patch: what to change them with.
    """
    found = {id(f): f for owner in owners for f in _functions(owner)}.values()
    changed = [f for f in found if _with_name(f.__code__, old, new) != f.__code__]
    assert changed, f"nothing uses {old}"
    for function in changed:
        patch(function, "__code__", _with_name(function.__code__, old, new))
    for owner in owners:
        if old in vars(owner):
            patch(owner, new, vars(owner)[old])


def _functions(owner: Any) -> Iterator[FunctionType]:
    for value in list(vars(owner).values()):
        value = getattr(value, "__func__", value)  # of a static method
        if isinstance(value, FunctionType):
            yield getattr(value, "__wrapped__", value)
            yield value
        elif isinstance(value, type) and value.__module__ == getattr(owner, "__name__", ""):
            yield from _functions(value)


def _with_name(code: CodeType, old: str, new: str) -> CodeType:
    names = tuple(new if name == old else name for name in code.co_names)
    constants = tuple(
        _with_name(value, old, new) if isinstance(value, CodeType)
        else new if isinstance(value, str) and value == old
        else value
        for value in code.co_consts
    )  # fmt: skip
    return code.replace(co_names=names, co_consts=constants)
