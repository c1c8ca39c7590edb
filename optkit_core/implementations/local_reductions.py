"""Local reductions: what one rank's part of a tensor is reduced to, before the others' come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from optkit_core.tracing.reduced import PARAMETERS

COMBINE = {"sum": "plus", "mean": "plus", "max": "larger", "min": "smaller"}
"""How the results of ranks are combined, by the method; of norms it depends on the order."""


class ReductionCall(NamedTuple):
    """What a call of a method that reduces asks for."""

    method: str
    over: tuple[int, ...] | None
    keepdim: bool
    order: Any

    @classmethod
    def of(
        cls, method: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> ReductionCall:
        """Read a call."""
        given = {**dict(zip(PARAMETERS[method], arguments, strict=False)), **keywords}
        dim, order = given.get("dim"), given.get("p", "fro")
        over = dim if dim is None else tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
        name = {"amax": "max", "amin": "min"}.get(method, method)
        return cls(name, over, bool(given.get("keepdim", False)), 2 if order == "fro" else order)

    @property
    def combine(self) -> str:
        """How the results of several ranks are combined."""
        if self.method != "norm":
            return COMBINE[self.method]
        return {2: "hypot", 1: "plus"}.get(self.order, "larger")


def reduced_part(tensor: Tensor, method: str, asked: ReductionCall) -> Tensor:
    """Return what a part is reduced to; without an element, what changes no other rank's result.

    Args:
        tensor: the part.
        method: that of a tensor.
        asked: over which dims, and how.
    """
    over: Any = list(range(tensor.dim())) if asked.over is None else list(asked.over)
    empty = method in ("amax", "amin") or asked.combine == "larger"
    if empty and any(tensor.size(dim) == 0 for dim in over):
        kept = tensor.sum(over, keepdim=asked.keepdim)
        worst = {"larger": 0.0 if method == "norm" else float("-inf")}
        return kept.fill_(worst.get(asked.combine, float("inf")))
    order = (asked.order,) if method == "norm" else ()
    result: Tensor = getattr(tensor, method)(*order, over, keepdim=asked.keepdim)
    return result
