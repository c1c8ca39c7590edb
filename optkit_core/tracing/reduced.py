"""Reductions of a body, ``p.norm()`` for example, as the instructions that they are recorded as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from optkit_core.tracing.operations.lookup import UntraceableError

PARAMETERS = {
    "norm": ("p", "dim", "keepdim"),
    "sum": ("dim", "keepdim"),
    "mean": ("dim", "keepdim"),
    "amax": ("dim", "keepdim"),
    "amin": ("dim", "keepdim"),
    "max": (),
    "min": (),
    "numel": (),
    "size": ("dim",),
}
"""The arguments of each tensor method that reduces, in torch's order."""

SUFFIXES = {(): "", (-2,): "_over_rows", (-1,): "_over_columns"}
"""How an instruction over some dims is called; one over both is done one after the other."""


def is_reduction(method: str, arguments: Sequence[Any]) -> bool:
    """Return whether a call reduces: ``x.max(y)`` is a maximum of two, ``x.max()`` is one of x."""
    return method in PARAMETERS and not (method in ("max", "min") and arguments)


def reduced(symbol: Any, method: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Record a reduction of a symbol, and return what stands for its result.

    Args:
        symbol: the value.
        method: that of a tensor.
        arguments: by position.
        keywords: by name.

    Raises:
        UntraceableError: it takes arguments that no kernel can be written for.
    """
    names = PARAMETERS[method]
    given = {**dict(zip(names, arguments, strict=False)), **keywords}
    if len(arguments) > len(names) or given.keys() - set(names):
        raise UntraceableError(f"the update body gives {method}() arguments that no kernel takes")
    suffixes = _suffixes(method, given)
    order = given.get("p", "fro")
    return _METHODS[method](symbol, suffixes, order)


def _suffixes(method: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what follows the name of each instruction that the dims ask for."""
    dim = given.get("dim")
    if dim is None:
        return ("",)
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    # Without keepdim the result would be combined with other dims than those it stands for.
    if method != "size" and given.get("keepdim") is not True:
        raise UntraceableError(f"the update body calls {method}(dim=...) without keepdim=True")
    if not dims or not all((d,) in SUFFIXES for d in dims):
        raise UntraceableError(
            f"the update body calls {method}(dim={dim!r}), and a kernel reduces over -1 and -2"
        )
    return tuple(SUFFIXES[(d,)] for d in sorted(set(dims), reverse=True))


def _each(symbol: Any, kind: str, suffixes: Sequence[str]) -> Any:
    for suffix in suffixes:
        symbol = symbol.record(f"{kind}{suffix}")
    return symbol


def _mean(symbol: Any, suffixes: Sequence[str], order: Any) -> Any:
    total = _each(symbol, "sum", suffixes)
    for suffix in suffixes:
        total = total / symbol.record(f"count{suffix}")
    return total


def _norm(symbol: Any, suffixes: Sequence[str], order: Any) -> Any:
    if order in ("fro", 2):
        return _each(symbol.square(), "sum", suffixes).sqrt()
    if order == 1:
        return _each(symbol.abs(), "sum", suffixes)
    if order == inf:
        return _each(symbol.abs(), "amax", suffixes)
    raise UntraceableError(f"the update body computes norm({order!r}), and a kernel 1, 2 and inf")


def _plain(kind: str) -> Callable[[Any, Sequence[str], Any], Any]:
    return lambda symbol, suffixes, order: _each(symbol, kind, suffixes)


_METHODS: dict[str, Callable[[Any, Sequence[str], Any], Any]] = {
    "norm": _norm,
    "mean": _mean,
    "sum": _plain("sum"),
    "amax": _plain("amax"),
    "amin": _plain("amin"),
    "max": _plain("amax"),
    "min": _plain("amin"),
    "numel": _plain("count"),
    "size": _plain("count"),
}
