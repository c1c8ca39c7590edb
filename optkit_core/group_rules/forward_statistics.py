"""Whether a module's ``forward`` takes a statistic, as its compiled code tells without a call."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn
from torch.autograd import Function

STATISTICS = frozenset(
    {
        "mean",
        "var",
        "var_mean",
        "std",
        "std_mean",
        "norm",
        "vector_norm",
        "normalize",
        "rsqrt",
        "layer_norm",
        "rms_norm",
        "group_norm",
        "instance_norm",
        "batch_norm",
    }
)
"""Functions and methods of torch that divide by the size or the spread of values, or give it."""


def takes_statistic(module: nn.Module) -> bool:
    """Return whether a module's ``forward`` names one of `STATISTICS`.

    Methods and functions that it calls are read too, torch's own excepted. Nothing is run.

    Args:
        module: any module.

    >>> takes_statistic(nn.LayerNorm(2)), takes_statistic(nn.Linear(2, 2))
    (True, False)
    """
    seen: set[CodeType] = set()
    waiting = list(_functions(getattr(type(module), "forward", None)))
    while waiting:
        function = waiting.pop()
        codes = [code for code in _codes(function.__code__) if code not in seen]
        seen.update(codes)
        names = {name for code in codes for name in code.co_names}
        # An attribute `mean` of the module is a value that it has, and takes no statistic.
        if any(name in STATISTICS and not _is_value(module, name) for name in names):
            return True
        waiting.extend(_called(module, function, names))
    return False


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code and that of the functions inside it."""
    yield code
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from _codes(item)


def _is_value(module: nn.Module, name: str) -> bool:
    return hasattr(module, name) and not hasattr(type(module), name)


def _called(
    module: nn.Module, function: FunctionType, names: Iterable[str]
) -> Iterator[FunctionType]:
    """Yield the functions that the names in a function's code may stand for."""
    known = function.__globals__
    libraries = [known[name] for name in names if isinstance(known.get(name), ModuleType)]
    for name in names:
        yield from _functions(inspect.getattr_static(type(module), name, None))
        for found in (known.get(name), *(getattr(library, name, None) for library in libraries)):
            is_class = isinstance(found, type) and issubclass(found, Function)
            yield from _functions(getattr(found, "forward", None) if is_class else found)


def _functions(found: Any) -> Iterator[FunctionType]:
    """Yield the functions of Python's own behind something callable, below its decorators."""
    if isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    plain = inspect.unwrap(found) if callable(found) else None
    # torch's own are known by their names, and would lead through all of torch.
    if isinstance(plain, FunctionType) and not _is_torchs_function(plain):
        yield plain


def _is_torchs_function(function: FunctionType) -> bool:
    is_method = "." in function.__qualname__
    return (function.__module__ or "").partition(".")[0] == "torch" and not is_method
